//! Volumes that were made for another driver, and go on working when this one runs under its name.
//!
//! | driver | what its volumes have |
//! |---|---|
//! | csi-driver-nvmf | `targetTrAddr` and `targetTrPort`, or `targetTrEndpoint` with the NQN as the volume's handle; `targetTrType`, `deviceUUID`, `deviceEUI`, `deviceID`, `hostNqn`, `hostId` |
//! | rds-csi | `nvmeAddress` (or only `rdsAddress`), `nvmePort`, options of the kernel with `0` for its default, `volumePath`, `migrationTimeoutSeconds` |
//! | spdk-csi | `targetAddr`, `targetPort`, `targetType` in capitals, `model` |
//! | simplyblock-csi | `connections` in JSON, `targetType`, `nsId`, options of the kernel with `0` or nothing for their defaults |
//! | tns-csi | `server`, `port`, `nsid`, `protocol`, names of datasets |
//! | democratic-csi | `transport` or `transports` as URLs, the other empty (its kin: `transport`, `address` and `port`), `nsid`, `node_attach_driver` |
//!
//! What such a volume has besides says [`foreign`](super::foreign).

use super::Map;

/// Keys that only one driver writes.
const MARKS: [(&str, Driver); 8] = [
    ("targetTrAddr", Driver::Nvmf),
    ("targetTrEndpoint", Driver::Nvmf),
    ("nvmeAddress", Driver::Rds),
    ("rdsAddress", Driver::Rds),
    ("targetAddr", Driver::Spdk),
    ("connections", Driver::Simplyblock),
    ("server", Driver::Tns),
    ("node_attach_driver", Driver::Democratic),
];

/// Who made a volume.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Driver {
    Nvmf,
    Rds,
    Spdk,
    Simplyblock,
    Tns,
    Democratic,
}

impl Driver {
    /// The driver whose volumes look like this one, if it is not this driver.
    pub(super) fn of(context: &Map) -> Option<Driver> {
        let mark = MARKS.iter().find(|(mark, _)| context.contains_key(*mark));
        mark.map(|(_, driver)| *driver)
    }
}
