//! Which namespace of the subsystem a volume is.

use nvme_sysfs::{NamespaceSelector, ParseIdentityError};

use super::keys::{Given, Key};
use crate::csi::invalid::InvalidRequest;
use crate::namespace_id::{parse_eui, parse_eui64, parse_nguid, parse_uuid};

type Parse = fn(&str) -> Result<NamespaceSelector, ParseIdentityError>;

/// The keys of this driver, with their names in a message.
const OWN: [(Key, &str, Parse); 4] = [
    (Key::NamespaceUuid, "the UUID", |text| {
        parse_uuid(text).map(NamespaceSelector::Uuid)
    }),
    (Key::NamespaceNguid, "the NGUID", |text| {
        parse_nguid(text).map(NamespaceSelector::Nguid)
    }),
    (Key::NamespaceEui64, "the EUI-64", |text| {
        parse_eui64(text).map(NamespaceSelector::Eui64)
    }),
    (Key::Nsid, "the number", |text| {
        text.parse().map(NamespaceSelector::Nsid)
    }),
];

/// The namespace that was asked for; of what this driver's keys say only one may be given.
pub(super) fn parse(given: &Given<'_>) -> Result<NamespaceSelector, InvalidRequest> {
    let mut found: Option<(&str, NamespaceSelector)> = None;
    for (key, name, parse) in OWN {
        let Some(which) = given.parsed_by(key, parse)? else {
            continue;
        };
        if let Some((other, _)) = found {
            let rule = format!("cannot be given together with {other}");
            return Err(given.refusal(key, rule));
        }
        found = Some((name, which));
    }
    match (found, device(given)?) {
        (Some(_), Some((key, _))) => Err(given.refusal(
            key,
            "cannot be given together with what names the namespace already",
        )),
        (Some((_, which)), None) | (None, Some((_, which))) => Ok(which),
        (None, None) => Ok(NamespaceSelector::Only),
    }
}

/// What csi-driver-nvmf's keys say; as there, `deviceEUI` counts before `deviceUUID`, and both before `deviceID`.
fn device(given: &Given<'_>) -> Result<Option<(Key, NamespaceSelector)>, InvalidRequest> {
    if let Some(which) = given.parsed_by(Key::DeviceEui, parse_eui)? {
        return Ok(Some((Key::DeviceEui, which)));
    }
    if let Some(uuid) = given.parsed_by(Key::DeviceUuid, parse_uuid)? {
        return Ok(Some((Key::DeviceUuid, NamespaceSelector::Uuid(uuid))));
    }
    let key = Key::DeviceId;
    let Some(id) = given.value(key) else {
        return Ok(None);
    };
    let id = id.to_ascii_lowercase();
    let id = id.strip_prefix("nvme-").unwrap_or(&id);
    let which = if id.starts_with("uuid.") {
        given
            .parsed_by(key, parse_uuid)?
            .map(NamespaceSelector::Uuid)
    } else if id.starts_with("eui.") || id.starts_with("nguid.") {
        given.parsed_by(key, parse_eui)?
    } else {
        // udev's name of a disk by its model and serial number is one that two namespaces may have.
        let rule = "has neither uuid. nor eui. before it, and a model or serial number is not unique: \
                    give deviceUUID or deviceEUI instead";
        return Err(given.refusal(key, rule));
    };
    Ok(which.map(|which| (key, which)))
}
