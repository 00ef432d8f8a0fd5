//! The program as its users run it: arguments in, text and exit code out, on captured trees.

#![expect(
    clippy::disallowed_methods,
    reason = "these tests run the program itself"
)]

mod common;

#[path = "cli/bad_input.rs"]
mod bad_input;
#[path = "cli/broken_tree.rs"]
mod broken_tree;
#[path = "cli/connect.rs"]
mod connect;
#[path = "cli/disconnect.rs"]
mod disconnect;
#[path = "cli/doctor.rs"]
mod doctor;
#[path = "cli/dry_run.rs"]
mod dry_run;
#[path = "cli/help.rs"]
mod help;
#[path = "cli/list.rs"]
mod list;
#[path = "cli/listing.rs"]
mod listing;
#[path = "cli/orders.rs"]
mod orders;
#[path = "cli/resolve.rs"]
mod resolve;
#[path = "cli/signals.rs"]
mod signals;
#[path = "cli/streams.rs"]
mod streams;
#[path = "cli/volumes.rs"]
mod volumes;
#[path = "cli/whole_tree.rs"]
mod whole_tree;
