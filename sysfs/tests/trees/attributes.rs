//! What a scan makes of each attribute, from the oldest kernel to the newest.

use std::time::Duration;

use nvme_sysfs::{
    AnaState, ControllerLoss, ControllerState, ControllerType, DevT, Diskseq, FastIoFail, Instance,
    IoPolicy, KeepAlive, NamespaceKind, Parameters, SubsystemType, TcpParameters, TlsMode,
    Transport,
};

use crate::fake::{Fake, HOSTID, HOSTNQN, NQN, UUID};

#[test]
fn a_subsystem_is_read_in_every_attribute() {
    let fake = Fake::new();
    fake.subsystem(0, NQN);
    let tree = fake.scan();
    assert_eq!(tree.multipath, Some(true));
    assert!(tree.unattached.is_empty());
    let [subsystem] = tree.subsystems.as_slice() else {
        panic!("one subsystem: {tree:?}")
    };
    assert_eq!(subsystem.name, "nvme-subsys0");
    assert_eq!(
        (
            subsystem.nqn.as_ref().map(|nqn| nqn.as_str()),
            subsystem.nqn_text.as_str()
        ),
        (Some(NQN), NQN)
    );
    assert_eq!(
        (&subsystem.subsystype, &subsystem.iopolicy),
        (&Some(SubsystemType::Nvm), &Some(IoPolicy::Numa))
    );
    assert_eq!(subsystem.model.as_deref(), Some("Linux"));
}

#[test]
fn a_live_controller_is_read_in_every_attribute() {
    let fake = Fake::new();
    fake.subsystem(0, NQN);
    let directory = fake.live(0, 0, NQN);
    fake.file(&format!("{directory}/tls_mode"), "concat\n");
    let tree = fake.scan();
    let [controller] = tree.subsystems[0].controllers.as_slice() else {
        panic!("one controller: {tree:?}")
    };
    assert_eq!(
        (controller.instance, &controller.state),
        (Instance(0), &ControllerState::Live)
    );
    assert_eq!(
        (&controller.transport, controller.address_text.as_str()),
        (&Transport::Tcp, "traddr=192.168.5.1,trsvcid=4420")
    );
    assert_eq!(controller.address.traddr.as_deref(), Some("192.168.5.1"));
    assert_eq!(
        controller.subsysnqn.as_ref().map(|nqn| nqn.as_str()),
        Some(NQN)
    );
    assert_eq!(
        controller.hostnqn.as_ref().map(|nqn| nqn.as_str()),
        Some(HOSTNQN)
    );
    assert_eq!(controller.hostid, HOSTID.parse().ok());
    assert_eq!(
        (controller.cntlid, &controller.cntrltype),
        (Some(1), &Some(ControllerType::Io))
    );
    assert_eq!(
        controller.ctrl_loss_tmo,
        Some(ControllerLoss::After(Duration::from_secs(600)))
    );
    assert_eq!(controller.reconnect_delay, Some(Duration::from_secs(10)));
    assert_eq!(controller.fast_io_fail_tmo, Some(FastIoFail::Off));
    assert_eq!(
        controller.kato,
        Some(KeepAlive::Timeout(Duration::from_secs(5)))
    );
    assert_eq!(controller.tls_mode, Some(TlsMode::Concat));
    assert_eq!(
        (
            controller.numa_node,
            controller.queue_count,
            controller.sqsize
        ),
        (None, Some(1), Some(31))
    );
    assert_eq!(
        controller.dev,
        Some(DevT {
            major: 243,
            minor: 0
        })
    );
}

#[test]
fn a_head_and_its_path_are_read_in_every_attribute() {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    let controller = fake.live(0, 0, NQN);
    let head = fake.disk(&subsystem, "nvme0n1", 1, UUID);
    fake.file(&format!("{head}/delayed_removal_secs"), "600\n");
    fake.file(&format!("{head}/metadata_bytes"), "8\n");
    fake.link(&format!("{head}/holders/dm-1"), "../../../../block/dm-1");
    fake.link(&format!("{head}/holders/dm-0"), "../../../../block/dm-0");
    fake.hidden(&controller, "nvme0c0n1", 1, "non-optimized");
    let tree = fake.scan();
    let [head] = tree.subsystems[0].namespaces.as_slice() else {
        panic!("one head: {tree:?}")
    };
    assert_eq!(
        (head.name.as_str(), head.kind),
        ("nvme0n1", NamespaceKind::Head)
    );
    assert_eq!(
        (head.dev, head.diskseq),
        (
            Some(DevT {
                major: 259,
                minor: 7
            }),
            Some(Diskseq(21))
        )
    );
    assert_eq!(
        (head.identity.uuid, head.identity.nguid),
        (UUID.parse().ok(), None)
    );
    assert_eq!(
        head.wwid.as_ref().map(ToString::to_string),
        Some(format!("uuid.{UUID}"))
    );
    assert_eq!(
        (head.size_bytes, head.logical_block_size),
        (64 << 20, Some(512))
    );
    assert_eq!(
        (head.metadata_bytes, head.read_only),
        (Some(8), Some(false))
    );
    assert_eq!(head.delayed_removal, Some(Duration::from_secs(600)));
    assert_eq!(head.holders, ["dm-0", "dm-1"]);
    let [(owner, path)] = tree.paths_of(head).collect::<Vec<_>>()[..] else {
        panic!("one path: {tree:?}")
    };
    assert_eq!(
        (owner.instance, path.controller, path.name.as_str()),
        (Instance(0), Instance(0), "nvme0c0n1")
    );
    assert_eq!(
        (&path.ana_state, path.ana_grpid),
        (&Some(AnaState::NonOptimized), Some(1))
    );
    assert_eq!(
        (path.identity.uuid, path.size_bytes),
        (UUID.parse().ok(), 64 << 20)
    );
}

#[test]
fn a_path_has_the_format_of_its_disk_and_a_sequence_number_of_its_own() {
    let fake = Fake::new();
    fake.subsystem(0, NQN);
    let controller = fake.live(0, 0, NQN);
    let path = fake.hidden(&controller, "nvme0c0n1", 1, "optimized");
    for (name, value) in [
        ("csi", "2"),
        ("metadata_bytes", "8"),
        ("ro", "1"),
        ("diskseq", "20"),
    ] {
        fake.file(&format!("{path}/{name}"), format!("{value}\n"));
    }
    let tree = fake.scan();
    let path = &tree.subsystems[0].controllers[0].paths[0];
    assert_eq!(
        (path.csi, path.metadata_bytes, path.read_only),
        (Some(2), Some(8), Some(true))
    );
    assert_eq!(path.diskseq, Some(Diskseq(20)));
}

#[test]
fn the_newest_kernel_has_counters_and_more() {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    let controller = fake.live(0, 0, NQN);
    let head = fake.disk(&subsystem, "nvme0n1", 1, UUID);
    let path = fake.hidden(&controller, "nvme0c0n1", 1, "optimized");
    for (below, value) in [
        (format!("{controller}/admin_timeout"), "60000"),
        (format!("{controller}/passthru_err_log_enabled"), "off"),
        (format!("{controller}/diag/reconnect_count"), "3"),
        (format!("{head}/csi"), "2"),
        (format!("{head}/diag/io_requeue_no_usable_path_count"), "17"),
        (format!("{path}/diag/multipath_failover_count"), "5"),
        (format!("{path}/numa_nodes"), "0-1"),
        (format!("{path}/queue_depth"), ""),
    ] {
        fake.file(&below, format!("{value}\n"));
    }
    let tree = fake.scan();
    let controller = &tree.subsystems[0].controllers[0];
    assert_eq!(controller.admin_timeout, Some(Duration::from_secs(60)));
    assert_eq!(
        (controller.io_timeout, controller.passthru_err_log_enabled),
        (None, Some(false))
    );
    assert_eq!(
        (controller.counters.reconnects, controller.counters.resets),
        (Some(3), None)
    );
    let path = &controller.paths[0];
    assert_eq!((path.counters.failovers, path.queue_depth), (Some(5), None));
    assert_eq!(path.numa_nodes.as_deref(), Some("0-1"));
    let head = &tree.subsystems[0].namespaces[0];
    assert_eq!(
        (head.csi, head.counters.requeued, head.counters.failed),
        (Some(2), Some(17), None)
    );
}

#[test]
fn the_oldest_kernel_has_few_attributes_and_that_is_no_error() {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    let controller = fake.live(0, 0, NQN);
    let head = fake.disk(&subsystem, "nvme0n1", 1, UUID);
    for name in ["subsystype", "iopolicy"] {
        fake.remove(&format!("{subsystem}/{name}"));
    }
    for name in [
        "hostnqn",
        "hostid",
        "cntrltype",
        "dctype",
        "ctrl_loss_tmo",
        "reconnect_delay",
        "kato",
        "fast_io_fail_tmo",
    ] {
        fake.remove(&format!("{controller}/{name}"));
    }
    fake.remove(&format!("{head}/diskseq"));
    let tree = fake.scan();
    let subsystem = &tree.subsystems[0];
    assert_eq!((&subsystem.subsystype, &subsystem.iopolicy), (&None, &None));
    let controller = &subsystem.controllers[0];
    assert_eq!(
        (&controller.hostnqn, controller.hostid, controller.kato),
        (&None, None, None)
    );
    assert_eq!(
        (controller.ctrl_loss_tmo, controller.fast_io_fail_tmo),
        (None, None)
    );
    assert!(controller.is_live() && controller.serves_io());
    assert_eq!(subsystem.namespaces[0].diskseq, None);
}

#[test]
fn unknown_words_are_kept() {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    let controller = fake.live(0, 0, NQN);
    fake.hidden(&controller, "nvme0c0n1", 1, "invalid state");
    fake.file(&format!("{controller}/state"), "hibernating\n");
    fake.file(&format!("{controller}/transport"), "quic\n");
    fake.file(&format!("{subsystem}/iopolicy"), "random\n");
    let tree = fake.scan();
    let controller = &tree.subsystems[0].controllers[0];
    assert_eq!(
        controller.state,
        ControllerState::Other("hibernating".to_owned())
    );
    assert_eq!(controller.transport, Transport::Other("quic".to_owned()));
    assert_eq!(
        controller.paths[0].ana_state,
        Some(AnaState::Other("invalid state".to_owned()))
    );
    assert_eq!(
        tree.subsystems[0].iopolicy,
        Some(IoPolicy::Other("random".to_owned()))
    );
}

#[test]
fn a_serial_number_that_is_no_text_hides_nobody() {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    fake.file(&format!("{subsystem}/serial"), b"\xff\xfeS1\n");
    fake.file(
        &format!("{subsystem}/subsysnqn"),
        b"nqn.2024-01.com.ex\xe4mple:vol\n",
    );
    let tree = fake.scan();
    assert_eq!(
        tree.subsystems[0].serial.as_deref(),
        Some("\u{fffd}\u{fffd}S1")
    );
    assert_eq!(tree.subsystems[0].nqn, None);
}

#[test]
fn a_controller_before_it_is_identified_belongs_to_no_subsystem_and_claims_nothing() {
    let fake = Fake::new();
    fake.connecting(0);
    let tree = fake.scan();
    let [controller] = tree.unattached.as_slice() else {
        panic!("one controller: {tree:?}")
    };
    assert_eq!(controller.state, ControllerState::Connecting);
    assert_eq!(
        (&controller.subsysnqn, &controller.model, &controller.serial),
        (&None, &None, &None)
    );
    assert_eq!((controller.cntlid, &controller.cntrltype), (None, &None));
    assert_eq!(
        controller.hostnqn.as_ref().map(|nqn| nqn.as_str()),
        Some(HOSTNQN)
    );
    assert_eq!(tree.find_controller(Instance(0)), Some(controller));
}

#[test]
fn secrets_and_the_attribute_that_asks_the_target_are_never_opened() {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    let controller = fake.live(0, 0, NQN);
    let head = fake.disk(&subsystem, "nvme0n1", 1, UUID);
    // Reading a directory is an error, so a scan that opened one of these would fail.
    for name in [
        "dhchap_secret",
        "dhchap_ctrl_secret",
        "tls_key",
        "tls_configured_key",
        "tls_keyring",
    ] {
        std::fs::create_dir(fake.path(&format!("{controller}/{name}"))).expect("made");
    }
    let path = fake.hidden(&controller, "nvme0c0n1", 1, "optimized");
    for disk in [head, path] {
        std::fs::create_dir(fake.path(&format!("{disk}/nuse"))).expect("made");
    }
    assert_eq!(fake.scan().controllers().count(), 1);
}

#[test]
fn parameters_are_read_where_the_modules_have_them() {
    let fake = Fake::new();
    let parameters = fake.sysfs().parameters();
    assert_eq!(parameters.core.multipath, Some(true));
    assert_eq!(parameters.core.io_timeout, None);
    assert_eq!(parameters.tcp, TcpParameters::default());
    for (module, name, text) in [
        ("nvme_core", "iopolicy", "queue-depth"),
        ("nvme_core", "io_timeout", "4294967"),
        ("nvme_core", "admin_timeout", "60"),
        ("nvme_core", "max_retries", "5"),
        ("nvme_tcp", "so_priority", "-1"),
        ("nvme_tcp", "wq_unbound", "N"),
        ("nvme_tcp", "tls_handshake_timeout", "10"),
    ] {
        let file = format!("sys/module/{module}/parameters/{name}");
        fake.file(&file, format!("{text}\n"));
    }
    let Parameters { core, tcp, .. } = fake.sysfs().parameters();
    assert_eq!(core.iopolicy, Some(IoPolicy::QueueDepth));
    assert_eq!(core.io_timeout, Some(Duration::from_secs(4_294_967)));
    assert_eq!(core.admin_timeout, Some(Duration::from_secs(60)));
    assert_eq!(core.max_retries, Some(5));
    let expected = TcpParameters {
        so_priority: Some(-1),
        wq_unbound: Some(false),
        tls_handshake_timeout: Some(Duration::from_secs(10)),
    };
    assert_eq!(tcp, expected);
    fake.file("sys/module/nvme_core/parameters/max_retries", "256\n");
    let parameters = fake.sysfs().parameters();
    let [unknown] = &parameters.unknown[..] else {
        panic!("more than 8 bits: {parameters:?}")
    };
    assert!(unknown.path.ends_with("nvme_core/parameters/max_retries"));
    assert_eq!(parameters.core.admin_timeout, core.admin_timeout);
}

#[test]
fn numbers_that_the_kernel_prints_with_a_sign_are_the_numbers_they_are() {
    let fake = Fake::new();
    let subsystem = fake.subsystem(0, NQN);
    let controller = fake.live(0, 0, NQN);
    let head = fake.disk(&subsystem, "nvme0n1", 1, UUID);
    let path = fake.hidden(&controller, "nvme0c0n1", 1, "optimized");
    fake.file(&format!("{head}/nsid"), "-2\n");
    fake.file(&format!("{path}/nsid"), "-2\n");
    fake.file(&format!("{path}/ana_grpid"), "-1\n");
    fake.file(&format!("{controller}/kato"), "-2147483648\n");
    let tree = fake.scan();
    assert_eq!(tree.unknown().count(), 0);
    let head = &tree.subsystems[0].namespaces[0];
    assert_eq!(
        head.identity.nsid.map(|nsid| nsid.get()),
        Some(4_294_967_294)
    );
    let controller = &tree.subsystems[0].controllers[0];
    assert_eq!(controller.paths[0].identity.nsid, head.identity.nsid);
    assert_eq!(controller.paths[0].ana_grpid, Some(u32::MAX));
    let kato = Duration::from_secs(2_147_483_648);
    assert_eq!(controller.kato, Some(KeepAlive::Timeout(kato)));
}

#[test]
fn a_copy_made_with_tar_on_a_machine_with_large_pages_reads_like_the_original() {
    for page in [4096, 16_384, 65_536] {
        let fake = Fake::new();
        let subsystem = fake.subsystem(0, NQN);
        let controller = fake.live(0, 0, NQN);
        fake.disk(&subsystem, "nvme0n1", 1, UUID);
        fake.hidden(&controller, "nvme0c0n1", 1, "optimized");
        let (tree, listing) = (fake.scan(), fake.sysfs().list().expect("a listing"));
        fill_up(&fake.path("sys/devices"), page);
        assert_eq!(fake.scan(), tree, "{page}");
        assert_eq!(fake.sysfs().list().expect("a listing"), listing, "{page}");
    }
}

/// Fills every file below a directory up with NUL bytes.
fn fill_up(directory: &std::path::Path, page: usize) {
    for entry in std::fs::read_dir(directory).expect("a directory") {
        let entry = entry.expect("an entry");
        let kind = entry.file_type().expect("a kind");
        if kind.is_dir() {
            fill_up(&entry.path(), page);
        } else if kind.is_file() {
            let mut content = std::fs::read(entry.path()).expect("read");
            content.resize(page, 0);
            std::fs::write(entry.path(), content).expect("written");
        }
    }
}
