//! How long the library takes to read trees of 16 to 4,096 controllers.
//!
//! `list` reads what `list-subsys -o json` prints; `resolve` takes the whole snapshot and finds one namespace in it.

use divan::{Bencher, counter::ItemsCount};
use nvme_sysfs::{NamespaceSelector, Nqn, Sysfs};

use synthetic::{SIZES, Synthetic};

mod synthetic;

fn main() {
    divan::main();
}

/// Seconds after which no further sample is begun.
const MAX_TIME: u64 = 5;

#[divan::bench(args = SIZES, max_time = MAX_TIME)]
fn list(bencher: Bencher<'_, '_>, controllers: u32) {
    let tree = Synthetic::new(controllers).expect("a tree");
    let sysfs = Sysfs::at(tree.root());
    bencher
        .counter(ItemsCount::new(controllers))
        .bench_local(|| sysfs.list().expect("the tree is well formed"));
}

#[divan::bench(args = SIZES, max_time = MAX_TIME)]
fn resolve(bencher: Bencher<'_, '_>, controllers: u32) {
    let tree = Synthetic::new(controllers).expect("a tree");
    let sysfs = Sysfs::at(tree.root());
    let nqn: Nqn = tree.last_nqn().parse().expect("a qualified name");
    bencher
        .counter(ItemsCount::new(controllers))
        .bench_local(|| {
            let snapshot = sysfs.scan().expect("the tree is well formed");
            let found = snapshot.find_namespace(&nqn, &NamespaceSelector::Only);
            found.expect("one match").expect("a match").dev
        });
}
