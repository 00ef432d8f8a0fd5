//! A pod of a case, and what its process says.

use std::fmt;
use std::time::Duration;

use serde_json::Value;

use kernel_lab::cluster::order::Order;

use crate::cluster::{Cluster, PATIENCE};
use crate::objects::collection;
use crate::writer::{FOUND, OWNER, REFUSED, WROTE};

/// A pod whose process writes.
pub(crate) struct Pod<'a> {
    cluster: &'a Cluster,
    path: String,
    /// As kubelet's log names it.
    name: String,
    /// The directory of its logs.
    logs: String,
}

/// What the process of a pod has done.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Figures {
    pub(crate) written: u64,
    pub(crate) failed: u64,
    pub(crate) longest: Duration,
    /// How long the write that is under way has waited.
    pub(crate) waits: Duration,
}

/// In kubelet's log.
const KILLING: &str = "Killing container with a grace period";
/// Steps that kubelet's log names.
const STAGES: [&str; 6] = [
    "SyncLoop ADD",
    "attached to node",
    "MountVolume.MountDevice succeeded",
    "MountVolume.SetUp succeeded",
    "MapVolume.MapPodDevice succeeded",
    "ContainerStarted",
];

impl fmt::Display for Figures {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let longest = self.longest.as_secs_f64();
        let Self {
            written, failed, ..
        } = self;
        write!(
            formatter,
            "{written} writes, {failed} failed, longest {longest:.1} s"
        )
    }
}

impl<'a> Pod<'a> {
    /// Makes the pod.
    pub(crate) fn create(
        cluster: &'a Cluster,
        namespace: &str,
        name: &str,
        object: &Value,
    ) -> Pod<'a> {
        let pods = collection(namespace, "pods");
        let made = cluster.create(&pods, object);
        let uid = made["metadata"]["uid"].as_str().expect("a UID");
        Pod {
            cluster,
            path: format!("{pods}/{name}"),
            name: format!("{namespace}/{name}"),
            logs: format!("/var/log/pods/{namespace}_{name}_{uid}/writer"),
        }
    }

    /// The pod as the API server has it.
    pub(crate) fn object(&self) -> Option<Value> {
        self.cluster.get(&self.path)
    }

    /// Waits until its process runs.
    pub(crate) fn wait_running(&self) {
        self.cluster.eventually("the pod to run", PATIENCE, |_| {
            (self.object()?["status"]["phase"] == "Running").then_some(())
        });
    }

    /// Everything that the process has said, without what the runtime adds.
    pub(crate) fn lines(&self) -> Vec<String> {
        self.lines_of(0)
    }

    /// The same of the process after so many restarts.
    fn lines_of(&self, restarts: u32) -> Vec<String> {
        let path = format!("{}/{restarts}.log", self.logs);
        let Ok(bytes) = self.cluster.machine.order(&Order::Read(path)) else {
            return Vec::new();
        };
        // `TIME STREAM FLAG TEXT`, the log format of the container runtime interface.
        let text = String::from_utf8_lossy(&bytes);
        let texts = text.lines().filter_map(|line| line.splitn(4, ' ').nth(3));
        texts.map(str::to_owned).collect()
    }

    fn said(&self, word: &str) -> Option<String> {
        last_said(&self.lines(), word)
    }

    /// Whose the mount is: `UID:GID MODE`.
    pub(crate) fn owner(&self) -> String {
        self.wait_for(OWNER)
    }

    /// How many blocks of an earlier pod it found.
    pub(crate) fn found(&self) -> u64 {
        self.wait_for(FOUND).parse().expect("a number")
    }

    /// The same of its next process, after a reboot of the node.
    pub(crate) fn found_again(&self) -> u64 {
        let found = self
            .cluster
            .eventually("the pod to start anew", PATIENCE, |_| {
                last_said(&self.lines_of(1), FOUND)
            });
        found.parse().expect("a number")
    }

    /// When kubelet had done what, by its own log.
    pub(crate) fn stages(&self) -> Vec<String> {
        let log = self.cluster.log("kubelet");
        let lines = log.lines().filter(|line| line.contains(&self.name));
        let stages = lines.filter_map(|line| {
            let stage = STAGES.iter().find(|stage| line.contains(**stage))?;
            // `I1130 02:10:02.123456 …`: the second word is the time of day.
            let time = line.split_whitespace().nth(1)?;
            Some(format!("kubelet at {time}: {stage}"))
        });
        let mut stages: Vec<_> = stages.collect();
        stages.dedup_by_key(|stage| stage.rsplit_once(": ").map(|(_, what)| what.to_owned()));
        stages
    }

    /// Why it cannot write.
    pub(crate) fn refused(&self) -> String {
        self.wait_for(REFUSED)
    }

    fn wait_for(&self, word: &str) -> String {
        self.cluster.eventually(word, PATIENCE, |_| self.said(word))
    }

    /// What it has done by now.
    pub(crate) fn figures(&self) -> Figures {
        let text = self.said(WROTE);
        text.as_deref().and_then(parse_figures).unwrap_or_default()
    }

    /// Waits until so many more writes have succeeded.
    pub(crate) fn wait_writes(&self, more: u64, time: Duration) -> Figures {
        let goal = self.figures().written + more;
        self.cluster.eventually("the pod to write", time, |_| {
            let figures = self.figures();
            (figures.written >= goal).then_some(figures)
        })
    }

    /// Waits until a write waits for so long.
    pub(crate) fn wait_stuck(&self, wait: Duration) {
        self.cluster.eventually("a write to wait", PATIENCE, |_| {
            (self.figures().waits >= wait).then_some(())
        });
    }

    /// Asserts that no write has failed and nothing was ever restarted, and returns what was done.
    #[track_caller]
    pub(crate) fn expect_unharmed(&self) -> Figures {
        let object = self
            .cluster
            .eventually("the pod", PATIENCE, |_| self.object());
        let containers = &object["status"]["containerStatuses"];
        assert_eq!(object["status"]["phase"], "Running", "{object:#}");
        assert_eq!(containers[0]["restartCount"], 0, "{object:#}");
        let figures = self.figures();
        assert_eq!(figures.failed, 0, "{:#?}", self.lines());
        figures
    }

    /// Asks for its deletion.
    pub(crate) fn delete(&self) {
        self.cluster.delete(&self.path);
    }

    /// Waits until kubelet has told its process to end.
    pub(crate) fn wait_until_kubelet_ends_it(&self) {
        self.cluster
            .eventually("kubelet to end the pod", PATIENCE, |cluster| {
                let log = cluster.log("kubelet");
                let mut lines = log.lines();
                let ends = |line: &str| line.contains(KILLING) && line.contains(&self.name);
                lines.any(ends).then_some(())
            });
    }

    /// Deletes it and waits until it is gone.
    pub(crate) fn finish(self) {
        self.delete();
        self.wait_gone(PATIENCE);
    }

    pub(crate) fn wait_gone(&self, time: Duration) {
        self.cluster
            .eventually("the pod to be gone", time, |cluster| {
                cluster.is_gone(&self.path).then_some(())
            });
    }
}

fn last_said(lines: &[String], word: &str) -> Option<String> {
    let mut said = lines.iter().filter_map(|line| line.strip_prefix(word));
    said.next_back().map(|text| text.trim().to_owned())
}

/// `12 failed 0 longest 5 waits 0`, the times in milliseconds.
fn parse_figures(text: &str) -> Option<Figures> {
    let words: Vec<_> = text.split(' ').collect();
    let [
        written,
        "failed",
        failed,
        "longest",
        longest,
        "waits",
        waits,
    ] = words[..]
    else {
        return None;
    };
    let time = |text: &str| text.parse().ok().map(Duration::from_millis);
    Some(Figures {
        written: written.parse().ok()?,
        failed: failed.parse().ok()?,
        longest: time(longest)?,
        waits: time(waits)?,
    })
}
