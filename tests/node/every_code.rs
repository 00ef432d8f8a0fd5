//! Every code that `csi/status.rs` has for one call and not for another. What every call can answer is
//! in `every_call.rs`, INVALID_ARGUMENT in `invalid.rs` and `parameters.rs`, field by field.

use std::fs;

use nvme_fabrics::{Cause, ConnectError, Explanation, Refusal, Refused};
use nvme_sysfs::Nqn;
use nvmeof_csi::csi::proto::VolumeCapability;
use nvmeof_csi::csi::proto::volume_capability::access_mode::Mode;
use nvmeof_csi::csi::proto::volume_capability::{AccessType, MountVolume};
use tonic::Code;

use crate::calls::{How, Rpc, Stands, bring};
use crate::machine::Machine;
use crate::plugin::Running;
use crate::requests;

/// One cell of the table: what happens before the call, and what it answers.
struct Cell {
    rpc: Rpc,
    code: Code,
    words: &'static str,
    stands: Stands,
    happens: fn(&Machine),
}

const fn cell(rpc: Rpc, code: Code, words: &'static str) -> Cell {
    Cell {
        rpc,
        code,
        words,
        stands: Stands::Nowhere,
        happens: |_| {},
    }
}

impl Cell {
    const fn when(self, stands: Stands) -> Cell {
        Cell { stands, ..self }
    }

    const fn after(self, happens: fn(&Machine)) -> Cell {
        Cell { happens, ..self }
    }

    fn capability(&self) -> fn() -> VolumeCapability {
        match self.stands {
            Stands::StagedRaw => requests::block,
            Stands::PublishedElsewhere => single_writer,
            Stands::Nowhere | Stands::Staged | Stands::Published => requests::filesystem,
        }
    }
}

fn single_writer() -> VolumeCapability {
    let access = AccessType::Mount(MountVolume::default());
    requests::capability(access, Mode::SingleNodeSingleWriter)
}

fn key_rejected(nqn: Nqn) -> ConnectError {
    Refused::new(Refusal::KeyRejected, nqn).into()
}

fn key_missing(nqn: Nqn) -> ConnectError {
    Refused::new(Refusal::KeyMissing, nqn).into()
}

fn key_revoked(nqn: Nqn) -> ConnectError {
    Refused::new(Refusal::KeyRevoked, nqn).into()
}

fn explained(refusal: Refusal, nqn: Nqn, cause: Cause) -> ConnectError {
    let explanation = Explanation::Known(cause);
    let refused = Refused::new(refusal, nqn);
    ConnectError::from(Refused {
        explanation,
        ..refused
    })
}

/// What kernels up to 6.9 answer, with the cause in their log.
fn authentication_failed(nqn: Nqn) -> ConnectError {
    explained(Refusal::Rejected, nqn, Cause::AuthFailed)
}

fn authentication_required(nqn: Nqn) -> ConnectError {
    explained(Refusal::Rejected, nqn, Cause::AuthRequired)
}

fn no_transport(nqn: Nqn) -> ConnectError {
    explained(Refusal::Invalid, nqn, Cause::NoTransport)
}

/// The rows that no other table has.
const CELLS: &[Cell] = {
    use Code::{
        AlreadyExists, FailedPrecondition, Internal, NotFound, OutOfRange, Unauthenticated,
        Unavailable,
    };
    use Stands::{Published, PublishedElsewhere, Staged, StagedRaw};
    &[
        cell(Rpc::Stage, Unauthenticated, "was rejected")
            .after(|machine| machine.host.refuse(key_rejected)),
        cell(Rpc::Stage, Unauthenticated, "no key for")
            .after(|machine| machine.host.refuse(key_missing)),
        cell(Rpc::Stage, Unauthenticated, "is revoked")
            .after(|machine| machine.host.refuse(key_revoked)),
        cell(Rpc::Stage, Unauthenticated, "authentication failed")
            .after(|machine| machine.host.refuse(authentication_failed)),
        cell(Rpc::Stage, Unauthenticated, "demands authentication")
            .after(|machine| machine.host.refuse(authentication_required)),
        cell(Rpc::Stage, Unavailable, "did not answer within")
            .after(|machine| machine.host.silence("4420")),
        cell(Rpc::Stage, FailedPrecondition, "add the line `nvme-tcp`")
            .after(|machine| machine.host.refuse(no_transport)),
        cell(Rpc::Stage, FailedPrecondition, "not this volume").after(|machine| {
            let line = "0:44 / PATH rw - tmpfs tmpfs rw";
            machine.mount_foreign(&machine.staging(), line);
        }),
        cell(Rpc::Stage, Internal, "cannot mount the filesystem")
            .after(|machine| machine.host.fail("mount")),
        cell(Rpc::Stage, Internal, "cannot make ext4").after(|machine| machine.host.fail("format")),
        cell(Rpc::Unstage, FailedPrecondition, "is still published").when(Published),
        cell(Rpc::Unstage, FailedPrecondition, "not this volume").after(|machine| {
            let line = "8:1 / PATH rw - ext4 /dev/sda1 rw";
            machine.mount_foreign(&machine.staging(), line);
        }),
        cell(Rpc::Unstage, FailedPrecondition, "(EBUSY)")
            .when(Staged)
            .after(|machine| machine.host.fail("unmount")),
        cell(Rpc::Unstage, Unavailable, "cannot disconnect nvme0")
            .when(Staged)
            .after(|machine| machine.host.fail("disconnect")),
        cell(Rpc::Publish, FailedPrecondition, "is not staged"),
        cell(Rpc::Publish, FailedPrecondition, "one publication").when(PublishedElsewhere),
        cell(Rpc::Publish, FailedPrecondition, "expected")
            .when(StagedRaw)
            .after(|machine| {
                let other = "33333333-3333-4333-8333-333333333333\n";
                machine.host.devices(|devices| devices.set("uuid", other));
            }),
        cell(Rpc::Publish, FailedPrecondition, "is a mount of")
            .when(Staged)
            .after(|machine| {
                let line = "0:44 / PATH rw - tmpfs tmpfs rw";
                machine.mount_foreign(&machine.target("pod-1"), line);
            }),
        cell(Rpc::Publish, Unavailable, "no disk that can be reached")
            .when(StagedRaw)
            .after(lose_path),
        cell(Rpc::Publish, Unavailable, "no disk that can be reached")
            .when(Staged)
            .after(|machine| machine.host.power_off()),
        cell(Rpc::Publish, AlreadyExists, "another capability").when(StagedRaw),
        cell(Rpc::Publish, Internal, "cannot publish the volume")
            .when(Staged)
            .after(|machine| machine.host.fail("bind")),
        cell(Rpc::Unpublish, FailedPrecondition, "not this volume").after(|machine| {
            let line = "0:44 / PATH rw - tmpfs tmpfs rw";
            machine.mount_foreign(&machine.target("pod-1"), line);
        }),
        cell(Rpc::Unpublish, FailedPrecondition, "is not empty").after(|machine| {
            fs::create_dir_all(machine.target("pod-1").join("data")).expect("a directory");
        }),
        cell(Rpc::Unpublish, FailedPrecondition, "(EBUSY)")
            .when(Published)
            .after(|machine| machine.host.fail("unmount")),
        cell(Rpc::Expand, NotFound, "is not at"),
        cell(Rpc::Expand, Unavailable, "must be staged again")
            .when(Staged)
            .after(|machine| {
                machine
                    .host
                    .edit_mounts("nvme0n1 rw", "nvme0n1 rw,shutdown")
            }),
        cell(Rpc::Expand, OutOfRange, "more than the limit of 1").when(Staged),
        cell(Rpc::Expand, Internal, "cannot grow the filesystem")
            .when(Staged)
            .after(|machine| machine.host.fail("grow")),
        cell(Rpc::Stats, NotFound, "is not staged"),
    ]
};

fn lose_path(machine: &Machine) {
    let lost = "connecting\n";
    machine.host.devices(|devices| devices.set("state", lost));
}

#[tokio::test]
async fn each_call_answers_each_code_that_is_its_own() {
    for cell in CELLS {
        let running = Running::start().await;
        let how = How {
            capability: cell.capability(),
            ..How::default()
        };
        bring(&running, cell.stands, &how).await;
        (cell.happens)(&running.machine);
        let mut node = running.node().await;
        let answer = match (cell.rpc, cell.stands, cell.code) {
            (Rpc::Publish, Stands::PublishedElsewhere, _) => {
                let mut message = requests::publish(&running.machine);
                message.volume_capability = Some(single_writer());
                message.target_path = requests::text(&running.machine.target("pod-2"));
                node.node_publish_volume(message).await.map(drop)
            }
            (Rpc::Publish, _, Code::AlreadyExists) => {
                let mut message = requests::publish_as(&running.machine, requests::block());
                message.volume_capability = Some(requests::filesystem());
                node.node_publish_volume(message).await.map(drop)
            }
            (Rpc::Expand, _, Code::OutOfRange) => {
                let mut message = requests::expand(&running.machine, 0);
                message
                    .capacity_range
                    .as_mut()
                    .expect("a range")
                    .limit_bytes = 1;
                node.node_expand_volume(message).await.map(drop)
            }
            (rpc, ..) => rpc.call(&mut node, &running.machine, &how).await,
        };
        let (rpc, words) = (cell.rpc, cell.words);
        let status = answer.expect_err(words);
        assert_eq!(status.code(), cell.code, "{rpc:?}, {words}: {status}");
        assert!(
            status.message().contains(words),
            "{rpc:?}, {words}: {status}"
        );
    }
}
