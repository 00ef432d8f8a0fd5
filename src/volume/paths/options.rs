//! The options of each connect of a source.
//!
//! What the user did not set gets a default of this driver where the transport takes the option:
//! reconnects and keep-alives every five seconds, and a controller that is never given up, or given
//! up at once where a map holds the I/O.

use std::time::Duration;

use nvme_fabrics::{
    ConnectOptions, ConnectOptionsBuilder, ConnectTuning, HostIdentity, OptionsError, TokenSet,
};

use crate::volume::hold::Hold;
use crate::volume::request::Secrets;
use crate::volume::source::{Portal, Source};

/// Time between two attempts of the kernel to reconnect: a restarted target is back within one or
/// two of them, and an attempt at a dead one costs little.
const RECONNECT_DELAY: Duration = Duration::from_secs(5);

/// The kernel's own default, sent so that the kernel shows it as set.
const KEEP_ALIVE: Duration = Duration::from_secs(5);

/// One set of options for each address, or the one set of a transport without addresses.
pub(crate) fn connect_options(
    source: &Source,
    hold: &Hold,
    secrets: &Secrets,
    identity: &HostIdentity,
) -> Result<Vec<ConnectOptions>, OptionsError> {
    let common = common_options(source, hold, secrets, identity);
    if source.addresses.is_empty() {
        return Ok(vec![common.build()?]);
    }
    let to_address = |portal: &Portal| {
        let mut builder = common.clone();
        builder
            .traddr(portal.traddr.to_string())
            .trsvcid(portal.trsvcid.to_string());
        builder.build()
    };
    source.addresses.iter().map(to_address).collect()
}

fn common_options(
    source: &Source,
    hold: &Hold,
    secrets: &Secrets,
    identity: &HostIdentity,
) -> ConnectOptionsBuilder {
    let mut builder = ConnectOptions::builder(source.transport.clone(), source.nqn.clone());
    builder
        .hostnqn(identity.hostnqn.clone())
        .hostid(identity.hostid);
    builder.tuning(tuning(source, hold));
    if let Some(interface) = &source.tuning.host_iface {
        builder.host_iface(interface);
    }
    if let Some(address) = &source.tuning.host_traddr {
        builder.host_traddr(address.to_string());
    }
    if let Some(secret) = &secrets.dhchap_secret {
        builder.dhchap_secret(secret.clone());
    }
    if let Some(secret) = &secrets.dhchap_ctrl_secret {
        builder.dhchap_ctrl_secret(secret.clone());
    }
    builder
}

/// What the user set, and the defaults. Where the transport does not take what the user wants, that is
/// an error of building the options.
fn tuning(source: &Source, hold: &Hold) -> ConnectTuning {
    let given = source.tuning.options;
    let allowed = TokenSet::allowed(&source.transport);
    let takes = |token| allowed.contains(token);
    let tells_loss = takes(TokenSet::CTRL_LOSS_TMO) || given.ctrl_loss_tmo.is_some();
    let delay = takes(TokenSet::RECONNECT_DELAY).then_some(RECONNECT_DELAY);
    let keep_alive = takes(TokenSet::KEEP_ALIVE_TMO).then_some(KEEP_ALIVE);
    ConnectTuning {
        ctrl_loss_tmo: tells_loss.then(|| source.controller_loss(hold)),
        reconnect_delay: given.reconnect_delay.or(delay),
        keep_alive_tmo: given.keep_alive_tmo.or(keep_alive),
        ..given
    }
}

#[cfg(test)]
mod tests {
    use nvme_sysfs::{ControllerLoss, Transport};

    use super::*;
    use crate::host::MapId;
    use crate::volume::fixture;

    fn encoded(source: &Source) -> Vec<String> {
        encoded_with(source, &Hold::None)
    }

    fn encoded_with(source: &Source, hold: &Hold) -> Vec<String> {
        let options = connect_options(source, hold, &Secrets::default(), &fixture::host_identity());
        let options = options.expect("valid options");
        let text = |options: &ConnectOptions| {
            String::from_utf8(options.encode().as_bytes().to_vec()).expect("text")
        };
        options.iter().map(text).collect()
    }

    #[test]
    fn every_address_is_connected_with_the_defaults_of_the_driver() {
        let mut source = fixture::source();
        source.addresses.push(fixture::portal("fd00::1", 4421));
        let texts = encoded(&source);
        assert_eq!(texts.len(), 2);
        for (text, address) in [
            (&texts[0], "traddr=10.0.0.2,trsvcid=4420"),
            (&texts[1], "traddr=fd00::1,trsvcid=4421"),
        ] {
            for part in [
                address,
                "ctrl_loss_tmo=-1",
                "reconnect_delay=5",
                "keep_alive_tmo=5",
                "hostnqn=",
                "hostid=",
            ] {
                assert!(text.contains(part), "{part} is missing in {text}");
            }
        }
    }

    #[test]
    fn under_a_map_the_kernel_drops_a_lost_controller_at_once() {
        let mut source = fixture::source();
        let map = Hold::Dm(MapId::of_volume("csi.example", "a"));
        let [text] = &encoded_with(&source, &map)[..] else {
            panic!("one address");
        };
        assert!(text.contains("ctrl_loss_tmo=0"), "{text}");
        source.tuning.options.ctrl_loss_tmo = Some(ControllerLoss::Never);
        let texts = encoded_with(&source, &map);
        assert!(texts[0].contains("ctrl_loss_tmo=0"), "{texts:?}");
        let texts = encoded_with(&source, &Hold::None);
        assert!(texts[0].contains("ctrl_loss_tmo=-1"), "{texts:?}");
    }

    #[test]
    fn what_the_user_sets_is_sent() {
        let mut source = fixture::source();
        source.tuning.options = ConnectTuning {
            ctrl_loss_tmo: Some(ControllerLoss::After(Duration::from_secs(60))),
            nr_io_queues: Some(2),
            hdr_digest: true,
            tos: Some(8),
            ..ConnectTuning::default()
        };
        let texts = encoded(&source);
        for part in ["ctrl_loss_tmo=60", "nr_io_queues=2", "hdr_digest", "tos=8"] {
            assert!(texts[0].contains(part), "{part} is missing in {texts:?}");
        }
    }

    #[test]
    fn loop_gets_neither_address_nor_the_defaults_that_it_refuses() {
        let mut source = fixture::source();
        source.transport = Transport::Loop;
        source.addresses.clear();
        let texts = encoded(&source);
        assert_eq!(texts.len(), 1);
        for part in ["traddr", "trsvcid", "ctrl_loss_tmo", "reconnect_delay"] {
            assert!(!texts[0].contains(part), "{part} is in {texts:?}");
        }
        assert!(texts[0].contains("keep_alive_tmo=5"), "{texts:?}");
    }
}
