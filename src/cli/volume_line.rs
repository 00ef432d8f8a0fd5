//! A volume of the node plugin in a line for people.

use crate::volume::{Hold, Surveyed};

/// How its I/O is kept waiting, and whether it waits now.
pub(super) fn describe_hold(volume: &Surveyed) -> String {
    let hold = match (&volume.hold, &volume.map_disk) {
        (Some(Hold::Dm(_)), Some(disk)) => format!("held by {disk}"),
        (Some(Hold::Dm(map)), None) => format!("held by {}, which is not there", map.name()),
        (Some(Hold::Native), _) => "held by its head".to_owned(),
        (Some(Hold::None), _) => "not held".to_owned(),
        (None, _) => "being attached".to_owned(),
    };
    match (volume.is_lost(), &volume.hold) {
        (true, Some(_)) => format!("{hold}, no path"),
        (true, None) | (false, _) => hold,
    }
}
