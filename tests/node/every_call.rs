//! The codes that every call of a volume can answer, whatever it does.

use std::fs::{self, File};
use std::path::PathBuf;
use std::time::Duration;

use nix::sys::stat::Mode;
use nix::unistd::mkfifo;
use tonic::Code;

use crate::calls::{CHANGES, EVERY, How, Rpc, Stands, bring};
use crate::machine::Machine;
use crate::machine::fake_host::Death;
use crate::plugin::Running;
use crate::requests::VOLUME;

/// The record of the volume, which every call reads.
fn record(machine: &Machine) -> PathBuf {
    let directory = machine.state_dir().join("volumes").join(VOLUME);
    fs::create_dir_all(&directory).expect("a directory");
    directory.join("record.json")
}

#[tokio::test]
async fn a_record_that_cannot_be_read_is_internal_in_every_call() {
    let running = Running::start().await;
    fs::write(record(&running.machine), "no JSON").expect("a file");
    let mut node = running.node().await;
    for rpc in EVERY {
        let answer = rpc.call(&mut node, &running.machine, &How::default()).await;
        let status = answer.expect_err(rpc.name());
        assert_eq!(status.code(), Code::Internal, "{rpc:?}: {status}");
        let words = "is no stage record";
        assert!(status.message().contains(words), "{rpc:?}: {status}");
    }
}

#[tokio::test]
async fn a_defect_of_the_program_is_internal_in_every_call_that_changes_something() {
    for (rpc, stands) in CHANGES.into_iter().zip([
        Stands::Nowhere,
        Stands::Staged,
        Stands::Staged,
        Stands::Published,
        Stands::Staged,
    ]) {
        let running = Running::start().await;
        let how = How::default();
        bring(&running, stands, &how).await;
        running.machine.host.die(Some(Death::Before(1)));
        let mut node = running.node().await;
        let answer = rpc.call(&mut node, &running.machine, &how).await;
        let status = answer.expect_err(rpc.name());
        assert_eq!(status.code(), Code::Internal, "{rpc:?}: {status}");
        assert!(status.message().contains("panicked"), "{rpc:?}: {status}");
        running.machine.host.die(None);
    }
}

/// Keeps every reader of the record waiting until it is dropped.
struct Stuck {
    /// Whoever opens the pipe waits for a writer, and whoever reads it waits for this one.
    _writer: File,
}

impl Stuck {
    fn at(path: PathBuf) -> Stuck {
        mkfifo(&path, Mode::S_IRWXU).expect("a pipe");
        // Opened both ways it waits for nobody.
        let writer = File::options().read(true).write(true).open(&path);
        Stuck {
            _writer: writer.expect("the pipe"),
        }
    }
}

#[tokio::test]
async fn every_call_that_takes_too_long_says_so_and_goes_on() {
    for rpc in EVERY {
        let running = Running::start().await;
        let stuck = Stuck::at(record(&running.machine));
        let how = How {
            timeout: Some(Duration::from_secs(1)),
            ..How::default()
        };
        let mut node = running.node().await;
        let answer = rpc.call(&mut node, &running.machine, &how).await;
        let status = answer.expect_err(rpc.name());
        assert_eq!(status.code(), Code::DeadlineExceeded, "{rpc:?}: {status}");
        let words = format!("{} is still running", rpc.name());
        assert!(status.message().contains(&words), "{rpc:?}: {status}");
        fs::remove_file(record(&running.machine)).expect("removed");
        drop(stuck);
    }
}

#[tokio::test]
async fn every_call_that_finds_no_thread_says_that_it_was_not_begun() {
    let running = Running::on(Machine::new("trixie-one-path"), |options| {
        options.blocking_threads = 1.try_into().expect("not zero");
    })
    .await;
    let stuck = Stuck::at(record(&running.machine));
    let how = How {
        timeout: Some(Duration::from_secs(6)),
        ..How::default()
    };
    let mut node = running.node().await;
    let first = Rpc::Health.call(&mut node, &running.machine, &how).await;
    let first = first.expect_err("it waits");
    assert_eq!(first.code(), Code::DeadlineExceeded, "{first}");
    for rpc in EVERY {
        let answer = rpc.call(&mut node, &running.machine, &how).await;
        let status = answer.expect_err(rpc.name());
        assert_eq!(status.code(), Code::ResourceExhausted, "{rpc:?}: {status}");
        assert!(status.message().contains("was not begun"), "{status}");
    }
    fs::remove_file(record(&running.machine)).expect("removed");
    drop(stuck);
}

#[tokio::test]
async fn every_change_of_a_volume_is_aborted_while_another_one_runs() {
    let running = Running::start().await;
    let stuck = Stuck::at(record(&running.machine));
    let short = How {
        timeout: Some(Duration::from_secs(1)),
        ..How::default()
    };
    let mut node = running.node().await;
    let first = Rpc::Stage.call(&mut node, &running.machine, &short).await;
    let first = first.expect_err("it waits");
    assert_eq!(first.code(), Code::DeadlineExceeded, "{first}");
    for rpc in CHANGES {
        let answer = rpc.call(&mut node, &running.machine, &How::default()).await;
        let status = answer.expect_err(rpc.name());
        assert_eq!(status.code(), Code::Aborted, "{rpc:?}: {status}");
    }
    fs::remove_file(record(&running.machine)).expect("removed");
    drop(stuck);
}

#[tokio::test]
async fn every_call_whose_caller_gives_up_is_counted_as_cancelled() {
    for rpc in EVERY {
        let running = Running::start().await;
        let stuck = Stuck::at(record(&running.machine));
        let mut node = running.node().await;
        {
            let how = How::default();
            let call = rpc.call(&mut node, &running.machine, &how);
            tokio::select! {
                answer = call => panic!("{rpc:?}: {answer:?}"),
                () = running.wait_in_progress(rpc.name()) => {}
            }
        }
        let (operation, code) = (rpc.name(), "CANCELLED");
        let name =
            format!("nvmeof_csi_operations_total{{operation=\"{operation}\",code=\"{code}\"}}");
        while running.metric(&name).await.is_none() {
            tokio::task::yield_now().await;
        }
        fs::remove_file(record(&running.machine)).expect("removed");
        drop(stuck);
    }
}
