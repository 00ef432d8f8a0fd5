//! What a volume goes through, on captured machines and a host that changes them.

#[path = "common/machine/mod.rs"]
mod machine;

#[path = "volume/requests.rs"]
mod requests;

#[path = "volume/attach.rs"]
mod attach;
#[path = "volume/detach.rs"]
mod detach;
#[path = "volume/expand.rs"]
mod expand;
#[path = "volume/format.rs"]
mod format;
#[path = "volume/full.rs"]
mod full;
#[path = "volume/health.rs"]
mod health;
#[path = "volume/kill.rs"]
mod kill;
#[path = "volume/publish.rs"]
mod publish;
#[path = "volume/repair.rs"]
mod repair;
#[path = "volume/restart.rs"]
mod restart;
#[path = "volume/stage.rs"]
mod stage;
#[path = "volume/stats.rs"]
mod stats;
#[path = "volume/swap.rs"]
mod swap;
#[path = "volume/unreadable.rs"]
mod unreadable;
#[path = "volume/unstage.rs"]
mod unstage;
