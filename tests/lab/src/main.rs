//! The kernel lab's command line.
fn main() {}
