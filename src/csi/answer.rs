//! What the volumes say, as messages.

use super::proto::node_get_storage_health_response::StorageBackendHealth;
use super::proto::node_service_capability::Type as Capability;
use super::proto::node_service_capability::rpc::Type as Rpc;
use super::proto::volume_health::VolumeHealthEntry;
use super::proto::volume_usage::Unit as WireUnit;
use super::proto::{
    NodeGetCapabilitiesResponse, NodeGetStorageHealthResponse, NodeGetVolumeHealthResponse,
    NodeGetVolumeStatsResponse, NodeServiceCapability, StorageHealthErrorType, VolumeCondition,
    VolumeHealth, VolumeHealthErrorType, VolumeUsage, node_service_capability,
};
use crate::volume::{
    Condition, HealthEntry, HealthStatus, Stats, StorageHealthEntry, StorageStatus, Unit, Usage,
};

/// What the node can do. Not VOLUME_MOUNT_GROUP: the group of the files stays kubelet's work.
const CAPABILITIES: [Rpc; 7] = [
    Rpc::StageUnstageVolume,
    Rpc::GetVolumeStats,
    Rpc::ExpandVolume,
    Rpc::VolumeCondition,
    Rpc::SingleNodeMultiWriter,
    Rpc::GetVolumeHealth,
    Rpc::GetStorageHealth,
];

pub(super) fn capabilities() -> NodeGetCapabilitiesResponse {
    let capability = |rpc: Rpc| NodeServiceCapability {
        r#type: Some(Capability::Rpc(node_service_capability::Rpc {
            r#type: rpc.into(),
        })),
    };
    NodeGetCapabilitiesResponse {
        capabilities: CAPABILITIES.into_iter().map(capability).collect(),
    }
}

pub(super) fn stats(stats: Stats) -> NodeGetVolumeStatsResponse {
    let Condition { abnormal, message } = stats.condition;
    NodeGetVolumeStatsResponse {
        usage: stats.usage.into_iter().map(usage).collect(),
        volume_condition: Some(VolumeCondition { abnormal, message }),
    }
}

fn usage(usage: Usage) -> VolumeUsage {
    let unit = match usage.unit {
        Unit::Bytes => WireUnit::Bytes,
        Unit::Inodes => WireUnit::Inodes,
    };
    VolumeUsage {
        available: signed(usage.available),
        total: signed(usage.total),
        used: signed(usage.used),
        unit: unit.into(),
    }
}

/// The wire has no unsigned sizes; eight exbibytes are more than any volume has.
pub(super) fn signed(bytes: u64) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}

pub(super) fn volume_health(
    volume_id: String,
    entries: Vec<HealthEntry>,
) -> NodeGetVolumeHealthResponse {
    let mut health_statuses: Vec<VolumeHealthEntry> = Vec::new();
    for HealthEntry {
        status,
        reason,
        message,
    } in entries
    {
        let status = i32::from(match status {
            HealthStatus::Degraded => VolumeHealthErrorType::Degraded,
            HealthStatus::Inaccessible => VolumeHealthErrorType::Inaccessible,
        });
        let reason = reason.as_str();
        // Status and reason together may occur only once.
        let same =
            |known: &&mut VolumeHealthEntry| known.status == status && known.reason == reason;
        match health_statuses.iter_mut().find(same) {
            Some(known) => append(&mut known.message, &message),
            None => health_statuses.push(VolumeHealthEntry {
                status,
                reason: reason.to_owned(),
                message,
            }),
        }
    }
    NodeGetVolumeHealthResponse {
        volume_health: Some(VolumeHealth {
            volume_id,
            health_statuses,
        }),
    }
}

pub(super) fn storage_health(entries: Vec<StorageHealthEntry>) -> NodeGetStorageHealthResponse {
    let mut backend_health: Vec<StorageBackendHealth> = Vec::new();
    for StorageHealthEntry {
        status,
        reason,
        message,
    } in entries
    {
        let status = i32::from(match status {
            StorageStatus::Degraded => StorageHealthErrorType::StorageDegraded,
            StorageStatus::Unreachable => StorageHealthErrorType::StorageUnreachable,
        });
        let reason = reason.as_str();
        // Status and reason together may occur only once, however many subsystems suffer.
        let same =
            |known: &&mut StorageBackendHealth| known.status == status && known.reason == reason;
        match backend_health.iter_mut().find(same) {
            Some(known) => append(&mut known.message, &message),
            None => backend_health.push(StorageBackendHealth {
                status,
                reason: reason.to_owned(),
                message,
                // Every kind of volume suffers.
                volume_capability: None,
            }),
        }
    }
    NodeGetStorageHealthResponse { backend_health }
}

fn append(message: &mut String, more: &str) {
    message.push_str("; ");
    message.push_str(more);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::volume::HealthReason;

    #[test]
    fn two_subsystems_without_a_path_are_one_entry_that_names_both() {
        let entry = |status, message: &str| StorageHealthEntry {
            status,
            reason: HealthReason::NoPath,
            message: message.to_owned(),
        };
        let answer = storage_health(vec![
            entry(StorageStatus::Unreachable, "a"),
            entry(StorageStatus::Degraded, "b"),
            entry(StorageStatus::Unreachable, "c"),
        ]);
        let messages: Vec<_> = answer.backend_health.iter().map(|e| &e.message).collect();
        assert_eq!(messages, ["a; c", "b"]);
    }

    #[test]
    fn two_stale_mounts_of_a_volume_are_one_entry() {
        let entry = |message: &str| HealthEntry {
            status: HealthStatus::Inaccessible,
            reason: HealthReason::StaleMount,
            message: message.to_owned(),
        };
        let answer = volume_health("v".to_owned(), vec![entry("a"), entry("b")]);
        let health = answer.volume_health.expect("health");
        assert_eq!(health.health_statuses.len(), 1);
        assert_eq!(health.health_statuses[0].message, "a; b");
    }

    #[test]
    fn the_condition_of_1_12_is_always_there() {
        let answer = stats(Stats {
            usage: vec![Usage {
                unit: Unit::Bytes,
                total: u64::MAX,
                used: 1,
                available: 2,
            }],
            condition: Condition {
                abnormal: false,
                message: "well".to_owned(),
            },
        });
        assert_eq!(answer.usage[0].total, i64::MAX);
        assert!(answer.volume_condition.is_some());
    }
}
