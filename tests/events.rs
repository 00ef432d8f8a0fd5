//! Events: what is told becomes an event on claim and pods, whatever the API server does.
//!
//! The API server is a double below the real client: it sees each request as it is on the wire.

#[path = "events/api_server.rs"]
mod api_server;
#[path = "events/posted.rs"]
mod posted;
#[path = "events/trouble.rs"]
mod trouble;
