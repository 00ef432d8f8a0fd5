//! Reading one controller's own attributes.

use crate::address::{Transport, TransportAddress};
use crate::attribute::Directory;
use crate::controller::{Controller, ControllerState, ControllerType};
use crate::device::{Instance, decimal};
use crate::diagnostics::ControllerCounters;
use crate::error::Unknown;
use crate::path::NamespacePath;
use crate::reader::{Reader, UNKNOWN};
use crate::scan::addresses::Addresses;
use crate::value;

/// Reads a controller whose paths are read already; `None` if it is gone.
pub(super) fn read(
    directory: &Directory,
    addresses: &Addresses,
    instance: Instance,
    (paths, unknown): (Vec<NamespacePath>, Vec<Unknown>),
) -> Option<Controller> {
    let mut own = Reader::of(directory);
    let transport = own.needed_word("transport");
    let address = addresses.of(instance, directory);
    let address_text = own.note(address).unwrap_or_default();
    let subsysnqn_text = own.foreign_text("subsysnqn");
    let hostnqn_text = own.foreign_text("hostnqn");
    // Both say something meaningless, 0 and "reserved", until the controller is identified.
    let is_identified = subsysnqn_text.is_some();
    let cntlid = own.value("cntlid", "a controller id (16 bits)", decimal);
    let cntrltype: Option<ControllerType> = own.word("cntrltype");
    // The fields are read in the order in which they stand here: the state last, as the proof.
    let mut controller = Controller {
        address: TransportAddress::parse_attribute(&address_text),
        address_text,
        subsysnqn: subsysnqn_text.as_deref().and_then(value::nqn),
        subsysnqn_text,
        hostnqn: hostnqn_text.as_deref().and_then(value::nqn),
        hostnqn_text,
        hostid: own.value("hostid", "a uuid", value::identifier).flatten(),
        cntlid: cntlid.filter(|_| is_identified),
        cntrltype: cntrltype.filter(|_| is_identified),
        dctype: own.word("dctype"),
        ctrl_loss_tmo: own.value("ctrl_loss_tmo", "seconds or off", value::controller_loss),
        reconnect_delay: own.value("reconnect_delay", "seconds", value::reconnect_delay),
        fast_io_fail_tmo: own.value("fast_io_fail_tmo", "seconds or off", value::fast_io_fail),
        kato: own.value("kato", "seconds", value::keep_alive),
        tls_mode: own.word("tls_mode"),
        numa_node: own
            .value("numa_node", "a node number or -1", value::numa_node)
            .flatten(),
        queue_count: own.value("queue_count", "a decimal number", value::wrapped),
        sqsize: own.value("sqsize", "a decimal number", decimal),
        admin_timeout: own.value("admin_timeout", "milliseconds", value::milliseconds),
        io_timeout: own.value("io_timeout", "milliseconds", value::milliseconds),
        passthru_err_log_enabled: own.value(
            "passthru_err_log_enabled",
            "on or off",
            value::on_or_off,
        ),
        quirks: own.text("quirks").filter(|quirks| quirks != "none"),
        counters: read_counters(&mut own),
        model: own.foreign_text("model"),
        serial: own.foreign_text("serial"),
        firmware_rev: own.foreign_text("firmware_rev"),
        dev: own.value("dev", "major:minor", |text| text.parse().ok()),
        paths,
        transport,
        state: own
            .proof("state", "a controller state", |word| Some(word.into()))?
            .unwrap_or_else(|| UNKNOWN.into()),
        ..unreadable(instance, unknown)
    };
    controller.unknown.extend(own.noted());
    Some(controller)
}

/// A controller that is there, of which nothing is known.
pub(super) fn unreadable(instance: Instance, unknown: Vec<Unknown>) -> Controller {
    Controller {
        instance,
        state: ControllerState::from(UNKNOWN),
        transport: Transport::from(UNKNOWN),
        address: TransportAddress::default(),
        address_text: String::new(),
        subsysnqn: None,
        subsysnqn_text: None,
        hostnqn: None,
        hostnqn_text: None,
        hostid: None,
        cntlid: None,
        cntrltype: None,
        dctype: None,
        ctrl_loss_tmo: None,
        reconnect_delay: None,
        fast_io_fail_tmo: None,
        kato: None,
        tls_mode: None,
        numa_node: None,
        queue_count: None,
        sqsize: None,
        admin_timeout: None,
        io_timeout: None,
        passthru_err_log_enabled: None,
        quirks: None,
        counters: ControllerCounters::default(),
        model: None,
        serial: None,
        firmware_rev: None,
        dev: None,
        paths: Vec::new(),
        unknown,
    }
}

fn read_counters(own: &mut Reader<'_>) -> ControllerCounters {
    let mut counter = |name: &str| own.value(name, "a decimal number", decimal);
    ControllerCounters {
        command_errors: counter("diag/command_error_count"),
        resets: counter("diag/reset_count"),
        reconnects: counter("diag/reconnect_count"),
    }
}
