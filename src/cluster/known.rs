//! Which attachments are those of one volume: pure.
//!
//! Several PersistentVolumes may have one handle, and then they are one volume: it is for one node
//! alone if any of them says so. An attachment outlives its PersistentVolume where that was removed
//! by force; then its own name tells the volume.

use std::collections::BTreeMap;

use super::attachment::{Alone, Attachment, Listed};
use super::name::attachment_name;
use super::objects::VolumeSpec;

/// What the cluster says of a volume.
#[derive(Debug)]
pub(super) struct Known {
    /// Whether a PersistentVolume has its handle.
    pub(super) is_known: bool,
    /// All of its attachments, by whatever PersistentVolume.
    pub(super) attachments: Vec<Attachment>,
}

/// Of the driver's attachments those of the volume with this handle, whose PersistentVolumes are
/// `volumes`, by their names.
pub(super) fn known(
    driver: &str,
    handle: &str,
    attachments: Vec<Listed>,
    volumes: &BTreeMap<String, VolumeSpec>,
) -> Known {
    let mut promises = volumes.iter().filter(|(_, spec)| spec.is_exclusive());
    let promise = promises.next().map(|(name, _)| Alone::Volume(name.clone()));
    let mut is_known = !volumes.is_empty();
    let mut found = Vec::new();
    for one in attachments {
        let own = match (
            &one.source.persistent_volume_name,
            &one.source.inline_volume_spec,
        ) {
            (Some(name), _) if volumes.contains_key(name) => None,
            (None, Some(spec)) if spec.is(driver, handle) => {
                is_known = true;
                spec.is_exclusive().then(|| Alone::Inline(one.name.clone()))
            }
            (name, _) if one.name == attachment_name(handle, driver, one.node.as_str()) => {
                let inline = || Alone::Inline(one.name.clone());
                Some(name.clone().map_or_else(inline, Alone::Lost))
            }
            _ => continue,
        };
        found.push(one.of_volume(promise.clone().or(own)));
    }
    Known {
        is_known,
        attachments: found,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    const DRIVER: &str = "test.csi";
    const HANDLE: &str = "volume-1";

    fn attachment(name: &str, source: &Value) -> Listed {
        let object = json!({
            "metadata": { "name": name, "uid": name },
            "spec": { "attacher": DRIVER, "nodeName": "a", "source": source },
        });
        Listed::new(serde_json::from_value(object).expect("an attachment"))
    }

    fn by(volume: &str) -> Listed {
        attachment("x", &json!({ "persistentVolumeName": volume }))
    }

    fn named_by_kubernetes(volume: &str) -> Listed {
        let name = attachment_name(HANDLE, DRIVER, "a");
        attachment(&name, &json!({ "persistentVolumeName": volume }))
    }

    fn spec(handle: &str, mode: &str) -> Value {
        json!({ "accessModes": [mode], "csi": { "driver": DRIVER, "volumeHandle": handle } })
    }

    fn volumes(all: &[(&str, &str)]) -> BTreeMap<String, VolumeSpec> {
        let volume = |(name, mode): &(&str, &str)| {
            let spec = serde_json::from_value(spec(HANDLE, mode)).expect("a volume");
            ((*name).to_owned(), spec)
        };
        all.iter().map(volume).collect()
    }

    /// Why each of the attachments is for one node alone, if it is one of the volume.
    fn judged(attachment: Listed, all: &[(&str, &str)]) -> Vec<Option<Alone>> {
        let known = known(DRIVER, HANDLE, vec![attachment], &volumes(all));
        let attachments = known.attachments.into_iter();
        attachments.map(|one| one.alone).collect()
    }

    #[test]
    fn an_attachment_is_the_volumes_by_its_persistent_volume_or_by_its_own_name() {
        let data = ("data", "ReadWriteMany");
        let lost = |name: &str| vec![Some(Alone::Lost(name.to_owned()))];
        for (attachment, expected) in [
            (by("data"), vec![None]),
            (by("other"), vec![]),
            (named_by_kubernetes("data"), vec![None]),
            // Gone, or there again with another handle: neither is among the volumes.
            (named_by_kubernetes("other"), lost("other")),
        ] {
            assert_eq!(judged(attachment, &[data]), expected);
        }
        assert_eq!(judged(named_by_kubernetes("data"), &[]), lost("data"));
    }

    #[test]
    fn a_volume_is_for_one_node_if_any_of_its_persistent_volumes_is() {
        let data = || vec![Some(Alone::Volume("data".to_owned()))];
        let both = [("copy", "ReadWriteMany"), ("data", "ReadWriteOnce")];
        for attachment in [by("copy"), by("data"), named_by_kubernetes("gone")] {
            assert_eq!(judged(attachment, &both), data());
        }
        let shared = [("copy", "ReadWriteMany"), ("data", "ReadOnlyMany")];
        assert_eq!(judged(by("copy"), &shared), [None]);
    }

    #[test]
    fn an_attachment_may_bring_its_volume_with_it() {
        let inline = |handle, mode| {
            let spec = spec(handle, mode);
            attachment("x", &json!({ "inlineVolumeSpec": spec }))
        };
        let own = Some(Alone::Inline("x".to_owned()));
        assert_eq!(judged(inline(HANDLE, "ReadWriteOnce"), &[]), [own]);
        assert_eq!(judged(inline(HANDLE, "ReadWriteMany"), &[]), [None]);
        assert_eq!(judged(inline("volume-2", "ReadWriteMany"), &[]), []);
        let attachments = vec![inline(HANDLE, "ReadWriteMany")];
        assert!(known(DRIVER, HANDLE, attachments, &BTreeMap::new()).is_known);
    }

    #[test]
    fn a_volume_is_known_if_a_persistent_volume_has_its_handle() {
        let none = known(DRIVER, HANDLE, vec![by("data")], &BTreeMap::new());
        assert!(!none.is_known && none.attachments.is_empty());
        let data = volumes(&[("data", "ReadWriteOnce")]);
        assert!(known(DRIVER, HANDLE, Vec::new(), &data).is_known);
    }
}
