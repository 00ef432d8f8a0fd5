//! Reading one controller's own attributes.

use crate::address::TransportAddress;
use crate::attribute::Directory;
use crate::controller::{Controller, ControllerType};
use crate::device::{Instance, decimal};
use crate::diagnostics::ControllerCounters;
use crate::error::ScanError;
use crate::path::NamespacePath;
use crate::scan::addresses::Addresses;
use crate::value;

/// Reads a controller whose paths are read already; `None` if it is gone.
pub(super) fn read(
    directory: &Directory,
    addresses: &Addresses,
    instance: Instance,
    paths: Vec<NamespacePath>,
) -> Result<Option<Controller>, ScanError> {
    let transport = directory.word("transport")?;
    let address_text = addresses.of(instance, directory)?;
    let subsysnqn_text = directory.foreign_text("subsysnqn")?;
    let hostnqn_text = directory.foreign_text("hostnqn")?;
    // Both say something meaningless, 0 and "reserved", until the controller is identified.
    let is_identified = subsysnqn_text.is_some();
    let cntlid = directory.value("cntlid", "a controller id (16 bits)", decimal)?;
    let cntrltype: Option<ControllerType> = directory.word("cntrltype")?;
    // The fields are read in the order in which they stand here: the state last, as the proof.
    Ok(Some(Controller {
        instance,
        address: TransportAddress::parse_attribute(&address_text),
        address_text,
        subsysnqn: subsysnqn_text.as_deref().and_then(value::nqn),
        subsysnqn_text,
        hostnqn: hostnqn_text.as_deref().and_then(value::nqn),
        hostnqn_text,
        hostid: directory
            .value("hostid", "a uuid", value::identifier)?
            .flatten(),
        cntlid: cntlid.filter(|_| is_identified),
        cntrltype: cntrltype.filter(|_| is_identified),
        dctype: directory.word("dctype")?,
        ctrl_loss_tmo: directory.value(
            "ctrl_loss_tmo",
            "seconds or off",
            value::controller_loss,
        )?,
        reconnect_delay: directory.value("reconnect_delay", "seconds", value::reconnect_delay)?,
        fast_io_fail_tmo: directory.value(
            "fast_io_fail_tmo",
            "seconds or off",
            value::fast_io_fail,
        )?,
        kato: directory.value("kato", "seconds", value::keep_alive)?,
        tls_mode: directory.word("tls_mode")?,
        numa_node: directory
            .value("numa_node", "a node number or -1", value::numa_node)?
            .flatten(),
        queue_count: directory.value("queue_count", "a decimal number", decimal)?,
        sqsize: directory.value("sqsize", "a decimal number", decimal)?,
        admin_timeout: directory.value("admin_timeout", "milliseconds", value::milliseconds)?,
        io_timeout: directory.value("io_timeout", "milliseconds", value::milliseconds)?,
        passthru_err_log_enabled: directory.value(
            "passthru_err_log_enabled",
            "on or off",
            value::on_or_off,
        )?,
        quirks: directory.text("quirks")?.filter(|quirks| quirks != "none"),
        counters: read_counters(directory)?,
        model: directory.foreign_text("model")?,
        serial: directory.foreign_text("serial")?,
        firmware_rev: directory.foreign_text("firmware_rev")?,
        dev: directory.value("dev", "major:minor", |text| text.parse().ok())?,
        paths,
        state: match directory.proof("state", "a controller state", |word| Some(word.into()))? {
            Some(state) => state,
            None => return Ok(None),
        },
        transport: transport.ok_or_else(|| directory.missing("transport"))?,
    }))
}

fn read_counters(directory: &Directory) -> Result<ControllerCounters, ScanError> {
    Ok(ControllerCounters {
        command_errors: directory.value("diag/command_error_count", "a decimal number", decimal)?,
        resets: directory.value("diag/reset_count", "a decimal number", decimal)?,
        reconnects: directory.value("diag/reconnect_count", "a decimal number", decimal)?,
    })
}
