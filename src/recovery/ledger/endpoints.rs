//! When which endpoint is connected again.
//!
//! An endpoint whose port answers, and which lets nobody in, is tried again after 1 s, 2 s, 4 s …
//! A port that does not answer is dialled by one volume for all, every second while a volume has no
//! path; when it answers again, every volume tries at once.

#[cfg(test)]
mod tests;

use std::collections::HashMap;
use std::time::{Duration, Instant};

use nvme_sysfs::{Nqn, TransportAddress};

use super::{Plan, Seen};
use crate::backoff::Backoff;
use crate::recovery::action::{Action, Came};
use crate::recovery::detect::Finding;
use crate::report::outcome::Reason;
use crate::volume::VolumeId;

/// The longest time between two attempts while other paths carry the volume.
const LIMIT: Duration = Duration::from_secs(30);
/// The same while no path does.
const LIMIT_LOST: Duration = Duration::from_secs(4);
/// How often a silent port is dialled while a volume has no path.
const DIAL: Duration = Duration::from_secs(1);

/// An endpoint of a subsystem.
type Endpoint = (Nqn, TransportAddress);
/// Address and service of a port, and from where it is reached.
type Port = TransportAddress;

/// All endpoints that volumes want and that are not connected.
#[derive(Debug, Default)]
pub(super) struct Endpoints {
    attempts: HashMap<Endpoint, Attempt>,
    ports: HashMap<Port, PortMemory>,
    /// Which endpoint a running action is about.
    running: HashMap<(VolumeId, usize), Endpoint>,
}

#[derive(Debug)]
struct Attempt {
    next: Instant,
    backoff: Backoff,
    told: Option<String>,
}

#[derive(Debug, Default)]
struct PortMemory {
    /// Whether the last dial was not answered.
    silent: bool,
    /// When it may be dialled again, if it is silent.
    next: Option<Instant>,
    /// How many attempts are under way.
    running: usize,
}

impl Endpoints {
    /// Forgets what no volume wants any more.
    pub(super) fn keep_wanted(&mut self, seen: &[Seen]) {
        let is_missing = |endpoint: &Endpoint| {
            seen.iter()
                .any(|seen| missing(seen).any(|(_, wanted)| wanted == *endpoint))
        };
        self.attempts.retain(|endpoint, _| is_missing(endpoint));
        let attempts = &self.attempts;
        self.ports.retain(|port, memory| {
            memory.running > 0 || attempts.keys().any(|(_, address)| address == port)
        });
    }

    pub(super) fn plan(&mut self, now: Instant, seen: &Seen, plan: &mut Plan) {
        for (place, endpoint) in missing(seen) {
            let under_way = self.running.values().any(|running| *running == endpoint);
            let attempt = self.attempts.entry(endpoint.clone()).or_insert(Attempt {
                next: now,
                backoff: Backoff::default(),
                told: None,
            });
            let port = self.ports.entry(endpoint.1.clone()).or_default();
            let is_due = port.next.is_none_or(|next| now >= next);
            let scouted = port.silent && (port.running > 0 || !is_due);
            if now < attempt.next || scouted || under_way {
                continue;
            }
            let action = Action::Reach {
                volume: seen.record.volume_id.clone(),
                endpoint: place,
            };
            if port.silent {
                // This one is the scout; the others wait for what it finds.
                port.running += 1;
                self.running
                    .insert((seen.record.volume_id.clone(), place), endpoint);
            }
            plan.actions.push(action);
        }
    }

    /// An action was not running yet and is started now.
    pub(super) fn started(&mut self, action: &Action, seen: &[Seen]) {
        let Action::Reach { volume, endpoint } = action else {
            return;
        };
        let key = (volume.clone(), *endpoint);
        if self.running.contains_key(&key) {
            return;
        }
        let record = seen.iter().find(|seen| seen.record.volume_id == *volume);
        let found = record.and_then(|seen| {
            let mut missing = missing(seen);
            missing.find(|(place, _)| place == endpoint)
        });
        if let Some((_, endpoint)) = found {
            self.ports.entry(endpoint.1.clone()).or_default().running += 1;
            self.running.insert(key, endpoint);
        }
    }

    pub(super) fn ended(
        &mut self,
        now: Instant,
        (volume, place): (&VolumeId, usize),
        came: &Came,
        lost: bool,
        plan: &mut Plan,
    ) {
        let Some(endpoint) = self.running.remove(&(volume.clone(), place)) else {
            return;
        };
        let port = self.ports.entry(endpoint.1.clone()).or_default();
        port.running = port.running.saturating_sub(1);
        let was_silent = port.silent;
        port.silent = matches!(came, Came::Unanswered(_));
        port.next = port.silent.then(|| now + DIAL);
        let answers_again = was_silent && !port.silent;
        if answers_again {
            let address = &endpoint.1;
            let of_port = self.attempts.iter_mut().filter(|((_, a), _)| a == address);
            for (_, attempt) in of_port {
                attempt.next = now;
                attempt.backoff = Backoff::default();
            }
        }
        let Some(attempt) = self.attempts.get_mut(&endpoint) else {
            return;
        };
        let limit = if lost { LIMIT_LOST } else { LIMIT };
        let error = match came {
            Came::Unanswered(error) => {
                attempt.next = match lost {
                    true => now + DIAL,
                    false => now + attempt.backoff.failed(limit),
                };
                error
            }
            Came::Refused(error) => {
                attempt.next = now + attempt.backoff.failed(limit);
                error
            }
            // The tree shows it in a moment; until then it is not tried again.
            _ => {
                attempt.next = now + DIAL;
                return;
            }
        };
        if attempt.told.as_ref() != Some(error) {
            attempt.told = Some(error.clone());
            plan.tell(volume, Reason::ConnectionFailure, error);
        }
    }
}

/// The endpoints of a volume that have no controller.
fn missing(seen: &Seen) -> impl Iterator<Item = (usize, Endpoint)> + '_ {
    let endpoints = seen.record.source.endpoints();
    seen.findings.iter().filter_map(move |finding| {
        let Finding::PathMissing(place) = finding else {
            return None;
        };
        let address = endpoints.get(*place)?.clone();
        Some((*place, (seen.record.source.nqn.clone(), address)))
    })
}
