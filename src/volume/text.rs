//! How the words of the kernel stand in a record: as text, the form in which administrators know
//! them. For `#[serde(with)]`, because the crates that own these types know nothing of records.

use std::fmt::Display;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serializer, de};

pub(super) fn serialize<T: Display, S: Serializer>(
    value: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.collect_str(value)
}

pub(super) fn deserialize<'de, T, D>(deserializer: D) -> Result<T, D::Error>
where
    T: FromStr<Err: Display>,
    D: Deserializer<'de>,
{
    parse(&String::deserialize(deserializer)?)
}

fn parse<T: FromStr<Err: Display>, E: de::Error>(text: &str) -> Result<T, E> {
    text.parse().map_err(E::custom)
}

/// A text that may be absent.
pub(super) mod option {
    use super::*;

    pub(in crate::volume) fn serialize<T: Display, S: Serializer>(
        value: &Option<T>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.collect_str(value),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::volume) fn deserialize<'de, T, D>(deserializer: D) -> Result<Option<T>, D::Error>
    where
        T: FromStr<Err: Display>,
        D: Deserializer<'de>,
    {
        let text: Option<String> = Option::deserialize(deserializer)?;
        text.as_deref().map(parse).transpose()
    }
}

/// Whole seconds, which is what the kernel's options count in.
pub(super) mod seconds {
    use std::time::Duration;

    use super::*;

    pub(in crate::volume) fn serialize<S: Serializer>(
        value: &Option<Duration>,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            Some(value) => serializer.serialize_u64(value.as_secs()),
            None => serializer.serialize_none(),
        }
    }

    pub(in crate::volume) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Option<Duration>, D::Error> {
        let seconds: Option<u64> = Option::deserialize(deserializer)?;
        Ok(seconds.map(Duration::from_secs))
    }
}

/// The kernel's word for a transport.
pub(super) mod transport {
    use nvme_sysfs::Transport;

    use super::*;

    pub(in crate::volume) fn serialize<S: Serializer>(
        value: &Transport,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_str(value)
    }

    pub(in crate::volume) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Transport, D::Error> {
        match Transport::from(String::deserialize(deserializer)?.as_str()) {
            Transport::Other(word) => Err(de::Error::custom(format!("unknown transport {word:?}"))),
            transport => Ok(transport),
        }
    }
}

/// The options of a connect and where it is made from, in one object by the kernel's names: numbers, switches, `null` for
/// what is not set, and of `ctrl_loss_tmo` a text, `never` or seconds.
pub(super) mod tuning {
    use nvme_fabrics::{TUNING, TokenSet, TuningKind, TuningOption};
    use serde::Serialize;
    use serde_json::{Map, Value};

    use super::*;
    use crate::volume::source::SourceTuning;

    const NEVER: &str = "never";

    /// Every record has these. One of a later option says it only where it is set, so that a version that does not know
    /// the option can read all others.
    #[rustfmt::skip]
    const ALWAYS: [&str; 11] = [
        "ctrl_loss_tmo", "reconnect_delay", "keep_alive_tmo", "fast_io_fail_tmo", "nr_io_queues", "queue_size",
        "nr_poll_queues", "nr_write_queues", "tos", "hdr_digest", "data_digest",
    ];

    pub(in crate::volume) fn serialize<S: Serializer>(
        tuning: &SourceTuning,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        let mut form = Map::new();
        for option in &TUNING {
            let (name, text) = (option.token.to_string(), option.text(&tuning.options));
            if text.is_some() || ALWAYS.contains(&name.as_str()) {
                form.insert(name, value(option, text));
            }
        }
        let address = tuning.host_traddr.as_ref().map(ToString::to_string);
        form.insert("host_iface".to_owned(), tuning.host_iface.clone().into());
        form.insert("host_traddr".to_owned(), address.into());
        form.serialize(serializer)
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

    pub(in crate::volume) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<SourceTuning, D::Error> {
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
}

/// `only`, or the kind of an identifier and the identifier.
pub(super) mod selector {
    use nvme_sysfs::NamespaceSelector;

    use super::*;

    const ONLY: &str = "only";

    pub(in crate::volume) fn serialize<S: Serializer>(
        value: &NamespaceSelector,
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        match value {
            NamespaceSelector::Only => serializer.serialize_str(ONLY),
            NamespaceSelector::Nsid(id) => serializer.collect_str(&format_args!("nsid {id}")),
            NamespaceSelector::Uuid(id) => serializer.collect_str(&format_args!("uuid {id}")),
            NamespaceSelector::Nguid(id) => serializer.collect_str(&format_args!("nguid {id}")),
            NamespaceSelector::Eui64(id) => serializer.collect_str(&format_args!("eui64 {id}")),
        }
    }

    pub(in crate::volume) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<NamespaceSelector, D::Error> {
        let text = String::deserialize(deserializer)?;
        match text.split_once(' ') {
            None if text == ONLY => Ok(NamespaceSelector::Only),
            Some(("nsid", id)) => parse(id).map(NamespaceSelector::Nsid),
            Some(("uuid", id)) => parse(id).map(NamespaceSelector::Uuid),
            Some(("nguid", id)) => parse(id).map(NamespaceSelector::Nguid),
            Some(("eui64", id)) => parse(id).map(NamespaceSelector::Eui64),
            _ => Err(de::Error::custom(format!("unknown selector {text:?}"))),
        }
    }
}
