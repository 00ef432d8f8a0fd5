//! Volumes as other drivers write them.

use std::time::Duration;

use nvme_fabrics::ConnectTuning;
use nvme_sysfs::{ControllerLoss, NamespaceSelector};

use super::*;

mod refused;

const NQN: &str = "nqn.2026-01.org.example:volume-1";
const UUID: &str = "58668891-c3e4-45d0-b90e-824525c16080";
const NGUID: &str = "00000000000000000042aa42aa42aa42";

fn host() -> HostIdentity {
    HostIdentity {
        hostnqn: "nqn.2026-01.org.example:node-a".parse().expect("a name"),
        hostid: "aaaaaaaa-aaaa-4aaa-8aaa-aaaaaaaaaaaa"
            .parse()
            .expect("a uuid"),
    }
}

fn read(volume_id: &str, context: &[(&str, &str)]) -> Result<Source, String> {
    let own = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
    let context: Map = context.iter().map(own).collect();
    let volume_id = volume_id.to_owned().try_into().expect("a volume id");
    let parameters = parse(&volume_id, &context, &Map::new(), &host());
    parameters
        .map(|parameters| parameters.source)
        .map_err(|error| error.to_string())
}

/// The source of what has to be read.
#[track_caller]
fn source(context: &[(&str, &str)]) -> Source {
    read("pvc-1", context).expect("a volume")
}

#[track_caller]
fn refused(context: &[(&str, &str)], words: &str) {
    let error = read("pvc-1", context).expect_err(words);
    assert!(error.contains(words), "{words:?} is not in {error}");
}

fn addresses(source: &Source) -> Vec<String> {
    source.addresses.iter().map(ToString::to_string).collect()
}

/// A volume of csi-driver-nvmf with these device keys, and the name of its NQN.
fn nvmf<'a>(device: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let common = [
        ("targetTrAddr", "192.168.122.18"),
        ("targetTrPort", "49153"),
        ("targetTrType", "tcp"),
        ("nqn", NQN),
    ];
    [&common, device].concat()
}

#[test]
fn a_static_volume_of_csi_driver_nvmf_is_found_by_each_of_its_device_keys() {
    let uuid = NamespaceSelector::Uuid(UUID.parse().expect("a uuid"));
    let nguid = NamespaceSelector::Nguid(NGUID.parse().expect("an nguid"));
    let eui64 = NamespaceSelector::Eui64("0025385b71b00a1c".parse().expect("an eui64"));
    let (prefixed_uuid, prefixed_nguid) = (format!("uuid.{UUID}"), format!("eui.{NGUID}"));
    for (device, which) in [
        (&[("deviceUUID", UUID)][..], uuid),
        (&[("deviceEUI", NGUID)], nguid),
        (&[("deviceEUI", "0025385B71B00A1C")], eui64),
        (&[("deviceID", prefixed_uuid.as_str())], uuid),
        (&[("deviceID", prefixed_nguid.as_str())], nguid),
        (&[("deviceID", "eui.0025385b71b00a1c")], eui64),
        (&[("deviceID", "INTEL_1"), ("deviceUUID", UUID)], uuid),
        (&[("deviceUUID", UUID), ("deviceEUI", NGUID)], nguid),
        (&[], NamespaceSelector::Only),
    ] {
        let source = source(&nvmf(device));
        assert_eq!(source.which, which, "{device:?}");
        assert_eq!(source.nqn.as_str(), NQN);
        assert_eq!(addresses(&source), ["192.168.122.18:49153"]);
    }
    let serial = ("deviceID", "Pure_Storage_FlashArray_AA00000000000AAA_42");
    refused(&nvmf(&[serial]), "give deviceUUID or deviceEUI instead");
    refused(
        &nvmf(&[("deviceUUID", UUID), ("nsid", "1")]),
        "cannot be given together",
    );
}

#[test]
fn the_host_in_a_volume_of_csi_driver_nvmf_must_be_the_node() {
    let HostIdentity { hostnqn, hostid } = host();
    let (nqn, id) = (hostnqn.to_string(), hostid.to_string().to_uppercase());
    source(&nvmf(&[("hostNqn", &nqn), ("hostId", &id)]));
    refused(
        &nvmf(&[("hostId", UUID)]),
        "must be this node's own, aaaaaaaa-",
    );
    refused(&nvmf(&[("hostNqn", NQN)]), "must be this node's own, nqn.");
}

#[test]
fn a_volume_that_csi_driver_nvmf_made_has_its_nqn_for_a_name() {
    let context = [
        ("targetTrType", "tcp"),
        ("targetTrEndpoint", "10.0.0.2:4420,10.0.0.3:4420"),
        ("provisionMode", "nvme"),
    ];
    let source = read(NQN, &context).expect("a volume");
    assert_eq!(source.nqn.as_str(), NQN);
    assert_eq!(addresses(&source), ["10.0.0.2:4420", "10.0.0.3:4420"]);
    // Targets are found whose names keep to no form, and the longest has more bytes than the CSI allows a name.
    for handle in [
        "naqn.example:volume-1".to_owned(),
        "n".repeat(Nqn::MAX_LEN - 1),
    ] {
        assert_eq!(
            read(&handle, &context).expect("a volume").nqn.as_str(),
            handle
        );
    }
    let of_one_address = [("targetTrAddr", "10.0.0.2"), ("targetTrType", "tcp")];
    refused(&of_one_address, "volume_context[\"nqn\"] is required");
}

#[test]
fn a_volume_of_rds_csi_is_read_with_the_defaults_that_it_writes_as_zero() {
    let mut context = vec![
        ("rdsAddress", "10.42.241.3"),
        ("nvmeAddress", "10.42.68.1"),
        ("nvmePort", "4420"),
        ("nqn", NQN),
        ("volumePath", "/storage-pool/metal-csi/pvc-1.img"),
        ("ctrlLossTmo", "-1"),
        ("reconnectDelay", "5"),
        ("keepAliveTmo", "0"),
        ("migrationTimeoutSeconds", "300"),
    ];
    let read = source(&context);
    assert_eq!(addresses(&read), ["10.42.68.1:4420"]);
    let options = read.tuning.options;
    assert_eq!(options.ctrl_loss_tmo, Some(ControllerLoss::Never));
    assert_eq!(options.keep_alive_tmo, None);
    // Its first releases knew one address only.
    context.remove(1);
    assert_eq!(addresses(&source(&context)), ["10.42.241.3:4420"]);
}

#[test]
fn a_static_volume_of_spdk_csi_is_read() {
    let source = source(&[
        ("model", UUID),
        ("nqn", NQN),
        ("targetAddr", "127.0.0.1"),
        ("targetPort", "4421"),
        ("targetType", "TCP"),
    ]);
    assert_eq!(addresses(&source), ["127.0.0.1:4421"]);
    assert_eq!(source.transport, Transport::Tcp);
}

#[test]
fn a_volume_of_simplyblock_csi_has_all_its_connections_and_its_number() {
    let context = |connections| {
        [
            ("connections", connections),
            ("name", UUID),
            ("uuid", UUID),
            ("nqn", NQN),
            ("model", UUID),
            ("targetType", "tcp"),
            ("nsId", "3"),
            ("hostIface", ""),
            ("reconnectDelay", "2"),
            ("nrIoQueues", "0"),
            ("ctrlLossTmo", "0"),
        ]
    };
    let two = r#"[{"ip":"10.0.0.2","port":4420},{"ip":"10.0.0.3","port":4421}]"#;
    let source = source(&context(two));
    assert_eq!(addresses(&source), ["10.0.0.2:4420", "10.0.0.3:4421"]);
    assert_eq!(
        source.which,
        NamespaceSelector::Nsid("3".parse().expect("a number"))
    );
    assert_eq!(source.tuning.options.nr_io_queues, None);
    assert_eq!(source.tuning.options.ctrl_loss_tmo, None);
    for (connections, words) in [
        ("[]", "has no address"),
        ("10.0.0.2", "is not valid"),
        (r#"[{"ip":"host.example","port":4420}]"#, "numeric"),
        (r#"[{"ip":"10.0.0.2","port":0}]"#, "port"),
    ] {
        refused(&context(connections), words);
    }
}

#[test]
fn a_volume_of_tns_csi_is_read() {
    let source = source(&[
        ("protocol", "nvmeof"),
        ("server", "10.0.0.2"),
        ("port", "4420"),
        ("transport", "tcp"),
        ("nqn", NQN),
        ("nsid", "1"),
        ("datasetID", "tank/csi/pvc-1"),
        ("nvmeofSubsystemID", "10"),
        ("clonedFromSnapshot", "true"),
    ]);
    assert_eq!(addresses(&source), ["10.0.0.2:4420"]);
    assert_eq!(
        source.which,
        NamespaceSelector::Nsid("1".parse().expect("a number"))
    );
}

#[test]
fn a_volume_of_democratic_csi_has_its_transport_in_urls() {
    let context = |key, urls| {
        [
            ("node_attach_driver", "nvmeof"),
            ("provisioner_driver", "node-manual"),
            (key, urls),
            ("nqn", NQN),
            ("nsid", "1"),
        ]
    };
    let one = source(&context("transport", "tcp://10.0.0.2:4420,"));
    assert_eq!(addresses(&one), ["10.0.0.2:4420"]);
    let urls = "rdma://10.0.0.2:4420, rdma://[fd00::1]:4421";
    let two = source(&context("transports", urls));
    assert_eq!(addresses(&two), ["10.0.0.2:4420", "[fd00::1]:4421"]);
    assert_eq!(two.transport, Transport::Rdma);
    for (urls, words) in [
        ("tcp://10.0.0.2,rdma://10.0.0.3", "more than one transport"),
        ("tcp://10.0.0.2,10.0.0.3", "no transport before"),
        ("fc://10.0.0.2", "must be tcp, rdma or loop"),
        ("tcp://host.example", "numeric"),
    ] {
        refused(&context("transports", urls), words);
    }
}

#[test]
fn a_volume_of_democratic_csi_for_truenas_has_its_address_apart() {
    let source = source(&[
        ("node_attach_driver", "nvmeof"),
        ("transport", "tcp"),
        ("address", "10.0.0.2"),
        ("port", "4421"),
        ("nqn", NQN),
    ]);
    assert_eq!(addresses(&source), ["10.0.0.2:4421"]);
}

#[test]
fn a_misspelt_key_is_refused_in_a_volume_of_another_driver_too() {
    refused(&nvmf(&[("ctrlLossTMO", "5")]), "is not a known parameter");
    source(&nvmf(&[("anything", "else")]));
    let own = [
        ("nqn", NQN),
        ("addresses", "10.0.0.2"),
        ("anything", "else"),
    ];
    refused(&own, "is not a known parameter");
}

#[test]
fn a_namespace_is_named_by_each_of_its_identifiers_and_by_one_at_a_time() {
    let with = |keys: &[(&'static str, &'static str)]| {
        let common = [("nqn", NQN), ("addresses", "10.0.0.2:4420, 10.0.0.3")];
        [&common, keys].concat()
    };
    let nguid = NamespaceSelector::Nguid(NGUID.parse().expect("an nguid"));
    let eui64 = NamespaceSelector::Eui64("0025385b71b00a1c".parse().expect("an eui64"));
    for (key, text, which) in [
        (
            "namespaceNGUID",
            "eui.00000000000000000042aa42aa42aa42",
            nguid,
        ),
        (
            "namespaceNGUID",
            "00000000-0000-0000-0042-AA42AA42AA42",
            nguid,
        ),
        ("namespaceEUI64", "00 25 38 5b 71 b0 0a 1c", eui64),
        ("namespaceEUI64", "eui.0025385B71B00A1C", eui64),
    ] {
        let source = source(&with(&[(key, text)]));
        assert_eq!(source.which, which, "{text}");
        assert_eq!(addresses(&source), ["10.0.0.2:4420", "10.0.0.3:4420"]);
    }
    refused(
        &with(&[("namespaceNGUID", "eui.0025385b71b00a1c")]),
        "is not valid",
    );
    refused(&with(&[("namespaceEUI64", NGUID)]), "is not valid");
    let both = [("namespaceNGUID", NGUID), ("namespaceUUID", UUID)];
    refused(&with(&both), "cannot be given together with the UUID");
}

#[test]
fn times_have_units_and_words_for_never() {
    let tuned = |key, text| {
        source(&[("nqn", NQN), ("addresses", "10.0.0.2"), (key, text)])
            .tuning
            .options
    };
    assert_eq!(
        tuned("keepAliveTmo", "1h1m"),
        ConnectTuning {
            keep_alive_tmo: Some(Duration::from_secs(3660)),
            ..ConnectTuning::default()
        }
    );
    let never = tuned("ctrlLossTmo", "never").ctrl_loss_tmo;
    assert_eq!(never, Some(ControllerLoss::Never));
    for off in ["off", "-1"] {
        assert_eq!(
            tuned("fastIoFailTmo", off),
            ConnectTuning::default(),
            "{off}"
        );
    }
}

#[test]
fn a_secret_may_end_in_the_line_break_of_its_file() {
    let key = "DHHC-1:00:ia6zGodOr4SEG0Zzaw398rpY0wqipUWj4jWjUh4HWUz6aQ2n:";
    for end in ["", "\n", "\r\n"] {
        let secrets = Map::from([("dhchapSecret".to_owned(), format!("{key}{end}"))]);
        let secret = parse_secrets(&secrets).expect("a key").dhchap_secret;
        assert_eq!(secret.expect("a key").expose(), key);
    }
    let secrets = Map::from([("dhchapSecret".to_owned(), format!("{key}\n\n"))]);
    let error = parse_secrets(&secrets).expect_err("two line breaks");
    assert!(!error.to_string().contains("ia6z"), "{error}");
}
