//! Connect to NVMe over Fabrics subsystems through `/dev/nvme-fabrics`.
