//! The volumes of the node plugin: how each is held, and what is wrong with it.

use super::{Check, Status};
use crate::cli::state_dir::Kept;
use crate::cli::volume_line::describe_hold;
use crate::volume::{HealthEntry, HealthReason, HealthStatus, Surveyed};

const NAME: &str = "volumes";

/// A finding for each thing that is wrong, or one that nothing is, of every volume.
pub(super) fn check(volumes: &Kept<Surveyed>) -> Vec<Check> {
    let unknown = volumes.unknown.iter().enumerate().map(|(index, unknown)| {
        let check = Check::bad(
            NAME,
            Status::Unknown,
            unknown,
            "run as root, where the node plugin's directory and mounts are seen",
        );
        check.about(format_args!("unknown/{index}"))
    });
    let mut checks: Vec<Check> = volumes.all.iter().flat_map(check_volume).collect();
    checks.extend(unknown);
    if checks.is_empty() {
        checks.push(Check::ok(NAME, "none is staged"));
    }
    checks
}

fn check_volume(volume: &Surveyed) -> Vec<Check> {
    let what = format!("{} ({})", volume.volume_id, describe_hold(volume));
    if volume.findings.is_empty() {
        let check = Check::ok(NAME, format!("{what} is as it should be"));
        return vec![check.about(&volume.volume_id)];
    }
    let findings = volume.findings.iter();
    let check = |entry: &HealthEntry| {
        let which = format!("{}/{}", volume.volume_id, entry.reason.as_str());
        check_finding(&what, entry).about(which)
    };
    findings.map(check).collect()
}

fn check_finding(what: &str, entry: &HealthEntry) -> Check {
    let status = match entry.status {
        HealthStatus::Degraded => Status::Warn,
        HealthStatus::Inaccessible => Status::Fail,
    };
    let what_to_do = match entry.reason {
        HealthReason::NoPath | HealthReason::PathsDown => {
            "check the network and the target; the node plugin connects as soon as it answers"
        }
        HealthReason::IdentityMismatch => {
            "give the volume its own namespace back at the target; the other one is not touched"
        }
        HealthReason::NotHeld => {
            "end what the finding names, such as the use of another disk behind that controller, or disconnect it; a volume without a map gets one when it is staged anew"
        }
        HealthReason::MediaError => "look for failing storage behind the namespace at the target",
        HealthReason::StaleMount => {
            "end what uses the volume; the node plugin then mounts it anew, but for a pod whose mount somebody has taken away: make that one anew"
        }
        HealthReason::ForeignMount => {
            "unmount what is not the volume; the node plugin does not mount over it"
        }
    };
    let finding = format!("{what}: {}: {}", entry.reason.as_str(), entry.message);
    Check::bad(NAME, status, finding, what_to_do)
}
