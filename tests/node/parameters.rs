//! Volume contexts and secrets of NodeStageVolume, as a StorageClass or a PersistentVolume has them.

use std::collections::BTreeSet;

use nvmeof_csi::csi::proto::NodeStageVolumeRequest;
use nvmeof_csi::csi::proto::volume_capability::access_mode::Mode;
use nvmeof_csi::csi::proto::volume_capability::{AccessType, MountVolume};
use tonic::{Code, Status};

use crate::plugin::{Running, hostnqn};
use crate::requests;

/// A request with this context instead of the usual one.
fn with_context(running: &Running, context: &[(&str, &str)]) -> NodeStageVolumeRequest {
    let mut message = requests::stage(&running.machine);
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    message.volume_context = context.iter().map(own).collect();
    message
}

async fn refusal(running: &Running, message: NodeStageVolumeRequest) -> Status {
    let status = running.node().await.node_stage_volume(message).await;
    let status = status.expect_err("a wrong request");
    assert_eq!(status.code(), Code::InvalidArgument, "{status}");
    status
}

/// Key, value, and the words that say what is wrong.
const WRONG: [(&str, &str, &str); 42] = [
    ("nqn", "", "is empty"),
    ("nqn", "nqn.2026-01.org.example/x", "is not valid"),
    (
        "nqn",
        "nqn.2014-08.org.nvmexpress.discovery",
        "is the discovery subsystem",
    ),
    ("nqn", "a,hostnqn=b", "holds a comma"),
    ("nqn", "a\nb", "a line break"),
    ("addresses", "", "is empty"),
    ("addresses", "10.0.0.2,", "has \"\", which"),
    (
        "addresses",
        "10.0.0.2,10.0.0.2:4420",
        "has 10.0.0.2:4420 twice",
    ),
    ("addresses", "storage.example", "numeric"),
    ("addresses", "0.0.0.0", "wildcard"),
    ("addresses", "fe80::1", "brackets"),
    ("addresses", "[fe80::1]", "must name its interface"),
    ("addresses", "10.0.0.2:0", "port from 1 to 65535"),
    ("transport", "fc", "must be tcp, rdma or loop"),
    ("namespaceUUID", "1", "is not valid"),
    ("nsid", "0", "is not valid"),
    ("nsid", "1", "cannot be given together with the UUID"),
    ("ctrlLossTmo", "-2", "is not valid"),
    ("ctrlLossTmo", "2147483648", "from 0 to 2147483647"),
    ("reconnectDelay", "0", "from 1 to 65535"),
    ("reconnectDelay", "65536", "from 1 to 65535"),
    ("keepAliveTmo", "0", "from 1 to 65535"),
    ("keepAliveTmo", "5x", "decimal digits"),
    ("keepAliveTmo", "19h", "from 1 to 65535"),
    ("fastIoFailTmo", "on", "decimal digits"),
    ("nrIoQueues", "0", "from 1 to 65535"),
    ("nrIoQueues", "010", "leading zero"),
    ("nrPollQueues", "65536", "from 1 to 65535"),
    ("nrWriteQueues", "0", "from 1 to 65535"),
    ("queueSize", "15", "from 16 to 1024"),
    ("queueSize", "1025", "from 16 to 1024"),
    ("tos", "256", "at most 255"),
    ("hostIface", "a/b", "interface name"),
    ("hostTraddr", "10.0.0", "is not valid"),
    ("hostTraddr", "fd00::1", "same address family"),
    ("hdrDigest", "yes", "must be true or false"),
    ("dataDigest", "1", "must be true or false"),
    ("pathLossHold", "always", "must be auto, dm, native or none"),
    ("pathLossTimeout", "0", "must be never, or a time"),
    ("pathLossTimeout", "10x", "must be never, or a time"),
    ("multiMountProtection", "yes", "must be true or false"),
    (
        "hostNqn",
        "nqn.2026-01.org.example:other",
        "must be this node's own",
    ),
];

#[tokio::test]
async fn a_wrong_value_is_refused_and_its_key_named() {
    let running = Running::start().await;
    for (key, value, words) in WRONG {
        let mut message = requests::stage(&running.machine);
        message
            .volume_context
            .insert(key.to_owned(), value.to_owned());
        let text = refusal(&running, message).await.message().to_owned();
        assert!(
            text.contains(&format!("volume_context[{key:?}]")),
            "{key}={value}: {text}"
        );
        assert!(text.contains(words), "{words:?} for {key}={value}: {text}");
    }
    assert!(running.machine.host.take_log().is_empty());
}

/// So many addresses.
fn addresses(number: u16) -> String {
    let ports = 1..=number;
    let texts: Vec<String> = ports.map(|port| format!("10.0.0.2:{port}")).collect();
    texts.join(",")
}

#[tokio::test]
async fn what_is_longer_or_more_than_a_volume_may_have_is_refused_and_not_repeated() {
    let running = Running::start().await;
    let long = |bytes: usize| "x".repeat(bytes);
    for (key, value, words) in [
        (
            "addresses",
            addresses(33),
            "has 33 addresses, at most 32 are allowed",
        ),
        (
            "addresses",
            long(4097),
            "has 4097 bytes, at most 4096 are allowed",
        ),
        ("nqn", long(4097), "has 4097 bytes"),
        ("nqn", long(224), "has 224 bytes, at most 223 are allowed"),
        ("hostIface", long(100_000), "has 100000 bytes"),
        ("hostNqn", long(4096), "must be this node's own"),
        (
            "pathLossTimeout",
            "596524h".to_owned(),
            "is more than 2147483647 seconds",
        ),
    ] {
        let mut message = requests::stage(&running.machine);
        message.volume_context.insert(key.to_owned(), value);
        let text = refusal(&running, message).await.message().to_owned();
        assert!(text.contains(&format!("volume_context[{key:?}]")), "{text}");
        assert!(text.contains(words), "{words:?} for {key}: {text}");
        assert!(text.len() < 1024, "{}", text.len());
    }
    let mut message = requests::stage(&running.machine);
    message.volume_context.insert(long(10_000), long(10_000));
    let unknown = refusal(&running, message).await;
    assert!(unknown.message().len() < 1024, "{unknown}");
    assert!(running.machine.host.take_log().is_empty());
}

#[tokio::test]
async fn as_many_addresses_as_are_allowed_are_taken() {
    let running = Running::start().await;
    let mut message = requests::stage(&running.machine);
    let key = "addresses".to_owned();
    message.volume_context.insert(key, addresses(32));
    let answer = running.node().await.node_stage_volume(message).await;
    let error = answer.expect_err("no port of these answers");
    assert_eq!(error.code(), Code::Unavailable, "{error}");
    let log: BTreeSet<_> = running.machine.host.take_log().into_iter().collect();
    let wanted = (1..=32).map(|port| format!("connect {port}")).collect();
    assert_eq!(log, wanted);
}

#[tokio::test]
async fn more_mount_flags_than_there_are_different_ones_are_refused() {
    let running = Running::start().await;
    for flags in [vec!["ro".to_owned(); 65], vec!["x".repeat(100_000)]] {
        let mut message = requests::stage(&running.machine);
        let mount = MountVolume {
            mount_flags: flags,
            ..MountVolume::default()
        };
        let capability = requests::capability(AccessType::Mount(mount), Mode::SingleNodeWriter);
        message.volume_capability = Some(capability);
        let text = refusal(&running, message).await.message().to_owned();
        assert!(text.contains("mount_flags"), "{text}");
        assert!(text.len() < 2048, "{}", text.len());
    }
}

#[tokio::test]
async fn what_is_missing_unknown_or_contradictory_is_named() {
    let running = Running::start().await;
    let nqn = ("nqn", "nqn.2026-01.org.example:volume-1");
    let address = ("addresses", "10.0.0.2");
    let is_loop = ("transport", "loop");
    for (context, words) in [
        (&[address][..], "volume_context[\"nqn\"] is required"),
        (&[nqn], "volume_context[\"addresses\"] is required"),
        (
            &[nqn, address, ("Nqn", "x")],
            "volume_context[\"Nqn\"] is not a known parameter",
        ),
        (
            &[nqn, address, is_loop],
            "\"10.0.0.2\" is not allowed for transport loop",
        ),
        (
            &[nqn, is_loop, ("tos", "1")],
            "volume_context[\"tos\"] \"1\" is not allowed for transport loop",
        ),
        (
            &[nqn, address, ("transport", "rdma"), ("hdrDigest", "true")],
            "volume_context[\"hdrDigest\"] \"true\" is not allowed for transport rdma",
        ),
        (
            &[nqn, address, ("nvmeAddress", "10.0.0.3")],
            "cannot be given together with addresses",
        ),
        (
            &[nqn, address, ("nvmePort", "4420")],
            "has no address of its own",
        ),
        (
            &[
                nqn,
                ("nvmeAddress", "10.0.0.2"),
                ("targetTrAddr", "10.0.0.2"),
            ],
            "says the same as \"nvmeAddress\"",
        ),
        (
            &[nqn, ("targetTrAddr", "10.0.0.2"), ("targetTrPort", "0")],
            "volume_context[\"targetTrPort\"]",
        ),
    ] {
        let status = refusal(&running, with_context(&running, context)).await;
        assert!(
            status.message().contains(words),
            "{words:?} is not in {status}"
        );
    }
}

#[tokio::test]
async fn volumes_of_other_drivers_are_staged_by_their_own_keys() {
    let nqn = ("nqn", "nqn.2026-01.org.example:volume-1");
    let uuid = "11111111-1111-4111-8111-111111111111";
    let own = hostnqn();
    for context in [
        &[nqn, ("nvmeAddress", "10.0.0.2"), ("nvmePort", "4420")][..],
        &[
            nqn,
            ("targetTrAddr", "10.0.0.2"),
            ("targetTrPort", "4420"),
            ("targetTrType", "tcp"),
            ("deviceUUID", uuid),
            ("hostNqn", &own),
        ],
        &[
            nqn,
            ("targetTrAddr", "10.0.0.2"),
            ("targetTrPort", "4420"),
            ("targetTrType", "tcp"),
            ("deviceID", "uuid.11111111-1111-4111-8111-111111111111"),
            ("hostId", "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"),
        ],
        &[
            nqn,
            ("rdsAddress", "10.0.0.1"),
            ("nvmeAddress", "10.0.0.2"),
            ("nvmePort", "4420"),
            ("volumePath", "/pool/pvc-1.img"),
            ("keepAliveTmo", "0"),
            ("migrationTimeoutSeconds", "300"),
        ],
    ] {
        let running = Running::start().await;
        let message = with_context(&running, context);
        let answer = running.node().await.node_stage_volume(message).await;
        answer.expect("staged");
        let log = running.machine.host.take_log();
        assert_eq!(log[0], "connect 4420");
    }
}

#[tokio::test]
async fn what_people_write_is_taken() {
    let nqn = ("nqn", "nqn.2026-01.org.example:volume-1");
    for (key, value) in [
        ("pathLossTimeout", "600"),
        ("pathLossTimeout", "1h30m"),
        ("keepAliveTmo", "1m"),
        ("ctrlLossTmo", "10m"),
        ("ctrlLossTmo", "never"),
        ("fastIoFailTmo", "1m30s"),
        ("namespaceUUID", "uuid.11111111-1111-4111-8111-111111111111"),
    ] {
        let running = Running::start().await;
        let context = [nqn, ("addresses", " 10.0.0.2:4420"), (key, value)];
        let mut message = with_context(&running, &context);
        let secret = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:\n";
        let key_file = ("dhchapSecret".to_owned(), secret.to_owned());
        message.secrets.extend([key_file]);
        let answer = running.node().await.node_stage_volume(message).await;
        answer.unwrap_or_else(|error| panic!("{key}={value}: {error}"));
    }
}

#[tokio::test]
async fn keys_of_kubernetes_itself_are_not_ours_to_judge() {
    let running = Running::start().await;
    let mut message = requests::stage(&running.machine);
    for key in [
        "csi.storage.k8s.io/pod.name",
        "csi.storage.k8s.io/anything",
        "storage.kubernetes.io/csiProvisionerIdentity",
    ] {
        message
            .volume_context
            .insert(key.to_owned(), "x".to_owned());
    }
    let answer = running.node().await.node_stage_volume(message).await;
    answer.expect("staged");
}

#[tokio::test]
async fn the_filesystem_of_a_handwritten_volume_may_stand_in_its_attributes() {
    let running = Running::start().await;
    let mut message = requests::stage(&running.machine);
    let key = "csi.storage.k8s.io/fstype".to_owned();
    message.volume_context.insert(key, "xfs".to_owned());
    let answer = running.node().await.node_stage_volume(message).await;
    answer.expect("staged");
    let log = running.machine.host.take_log();
    assert!(log.contains(&"format nvme0n1 xfs".to_owned()), "{log:?}");
}

#[tokio::test]
async fn only_an_ext4_can_refuse_a_second_mount() {
    let running = Running::start().await;
    let mut message = requests::stage(&running.machine);
    let key = "multiMountProtection".to_owned();
    message.volume_context.insert(key, "true".to_owned());
    let key = "csi.storage.k8s.io/fstype".to_owned();
    let mut xfs = message.clone();
    xfs.volume_context.insert(key, "xfs".to_owned());
    let mut block = message.clone();
    block.volume_capability = Some(requests::block());
    for (wrong, words) in [
        (&xfs, "is for ext4: xfs cannot tell who else has it mounted"),
        (&block, "is for ext4: a raw block volume has no filesystem"),
    ] {
        let status = refusal(&running, wrong.clone()).await;
        let expected = format!("volume_context[\"multiMountProtection\"] \"true\" {words}");
        assert_eq!(status.message(), expected);
    }
    // Left off, it is no matter of the filesystem.
    let key = "multiMountProtection".to_owned();
    xfs.volume_context.insert(key, "false".to_owned());
    let mut node = running.node().await;
    node.node_stage_volume(xfs).await.expect("staged");
    let log = running.machine.host.take_log();
    assert!(log.contains(&"format nvme0n1 xfs".to_owned()), "{log:?}");
}

#[tokio::test]
async fn a_protected_volume_is_formatted_so() {
    let running = Running::start().await;
    let mut message = requests::stage(&running.machine);
    let key = "multiMountProtection".to_owned();
    message.volume_context.insert(key, "true".to_owned());
    let mut node = running.node().await;
    node.node_stage_volume(message).await.expect("staged");
    let log = running.machine.host.take_log();
    let formatted = "format nvme0n1 ext4 protected".to_owned();
    assert!(log.contains(&formatted), "{log:?}");
}

#[tokio::test]
async fn a_wrong_secret_is_refused_without_being_repeated() {
    let running = Running::start().await;
    let good = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";
    for (secrets, words) in [
        (
            &[("password", "hunter2")][..],
            "secrets[\"password\"] is not known",
        ),
        (&[("dhchapSecret", "hunter2")], "secrets[\"dhchapSecret\"]"),
        (
            &[("dhchapCtrlSecret", good)],
            "secrets[\"dhchapSecret\"] is required with dhchapCtrlSecret",
        ),
        (
            &[("dhchapSecret", good), ("tlsPsk", "hunter2")],
            "secrets[\"tlsPsk\"] is not known",
        ),
    ] {
        let mut message = requests::stage(&running.machine);
        let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        message.secrets = secrets.iter().map(own).collect();
        let status = refusal(&running, message).await;
        let text = status.message();
        assert!(text.contains(words), "{words:?} is not in {text}");
        assert!(
            !text.contains("hunter2") && !text.contains("ia6zGodO"),
            "{text}"
        );
    }
}
