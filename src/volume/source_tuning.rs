//! How the controllers of a source are connected, and the form of that in a record: one object by the kernel's names, with
//! numbers, switches, `null` for what is not set, and of `ctrl_loss_tmo` a text, `never` or seconds.

use nvme_fabrics::{ConnectTuning, NumericAddress, TUNING, TokenSet, TuningKind, TuningOption};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use serde_json::{Map, Value};

use super::text::parse;

/// How the controllers of a source are connected; what is absent takes the default of this driver, or
/// else of the kernel.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SourceTuning {
    /// The options of the kernel. `ctrl_loss_tmo` has no effect on a volume that is held by a map.
    pub options: ConnectTuning,
    /// Source interface.
    pub host_iface: Option<String>,
    /// Source address.
    pub host_traddr: Option<NumericAddress>,
}

const NEVER: &str = "never";

/// Every record has these. One of a later option says it only where it is set, so that a version that does not know
/// the option can read all others.
#[rustfmt::skip]
const ALWAYS: [&str; 11] = [
    "ctrl_loss_tmo", "reconnect_delay", "keep_alive_tmo", "fast_io_fail_tmo", "nr_io_queues", "queue_size",
    "nr_poll_queues", "nr_write_queues", "tos", "hdr_digest", "data_digest",
];

impl Serialize for SourceTuning {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut form = Map::new();
        for option in &TUNING {
            let (name, text) = (option.token.to_string(), option.text(&self.options));
            if text.is_some() || ALWAYS.contains(&name.as_str()) {
                form.insert(name, value(option, text));
            }
        }
        let address = self.host_traddr.as_ref().map(ToString::to_string);
        form.insert("host_iface".to_owned(), self.host_iface.clone().into());
        form.insert("host_traddr".to_owned(), address.into());
        form.serialize(serializer)
    }
}

fn value(option: &TuningOption, text: Option<String>) -> Value {
    let is_loss = option.token == TokenSet::CTRL_LOSS_TMO;
    match (option.kind(), text) {
        (TuningKind::Switch, text) => text.is_some().into(),
        (_, None) => Value::Null,
        (_, Some(text)) if is_loss && text == "-1" => NEVER.into(),
        (_, Some(text)) if is_loss => text.into(),
        (_, Some(text)) => text.parse::<i64>().map_or(Value::Null, Value::from),
    }
}

impl<'de> Deserialize<'de> for SourceTuning {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<SourceTuning, D::Error> {
        let mut tuning = SourceTuning::default();
        for (name, value) in Map::deserialize(deserializer)? {
            let text = |value| serde_json::from_value::<Option<String>>(value);
            match name.as_str() {
                "host_iface" => tuning.host_iface = text(value).map_err(de::Error::custom)?,
                "host_traddr" => {
                    let address = text(value).map_err(de::Error::custom)?;
                    tuning.host_traddr = address.as_deref().map(parse).transpose()?;
                }
                _ => set(&mut tuning, &name, &value).map_err(de::Error::custom)?,
            }
        }
        Ok(tuning)
    }
}

/// What an option is set to has one form, and is read from no other.
fn set(tuning: &mut SourceTuning, name: &str, form: &Value) -> Result<(), String> {
    let option = TokenSet::from_token(name).and_then(TuningOption::find);
    let option = option.ok_or_else(|| format!("unknown option {name:?}"))?;
    let text = match form {
        Value::Null => None,
        Value::String(text) if text == NEVER => Some("-1".to_owned()),
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    };
    let set = text.map(|text| option.set(&mut tuning.options, &text));
    let read = value(option, option.text(&tuning.options));
    match set {
        Some(Err(error)) => Err(format!("{name} {form}: {error}")),
        _ if read != *form => Err(format!("{name} is {form}")),
        _ => Ok(()),
    }
}
