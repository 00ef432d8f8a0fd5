//! The public interface on small trees that are laid out as the kernel lays out sysfs.

mod attributes;
mod broken;
mod fake;
mod list;
mod lookup;
mod scan;
