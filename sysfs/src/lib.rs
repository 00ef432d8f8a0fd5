//! NVMe subsystems, controllers and namespaces as Linux shows them in sysfs.
