//! The addresses of one source, connected beside each other: one that does not answer takes three seconds, and the
//! caller waits for two minutes.
//!
//! Each is begun when the one before it has ended, or after a moment (as in RFC 8305, "happy eyeballs"), so that
//! controllers of a target that answers are numbered in the order of its addresses. Invariant: every connect that was
//! begun is waited for and answered in its place; once the caller has gone none is begun.

use std::sync::mpsc::{self, Receiver};
use std::thread::{self, Scope, ScopedJoinHandle};
use std::time::Duration;

use nvme_fabrics::{ConnectError, ConnectOptions, Connected};

use crate::host::blocking::Caller;

/// How long the next address waits for one that takes its time: what answers at all answers sooner.
const MOMENT: Duration = Duration::from_millis(250);
/// How many are connected at once. Those that a port answers queue up in the kernel, which connects one after the other for
/// the whole machine.
const AT_ONCE: usize = 4;
/// What a thread needs that looks for existing controllers, dials and connects.
const STACK: usize = 256 * 1024;

/// What comes of one connect.
type Answer = Result<Connected, ConnectError>;

/// A connect that was begun, in a thread where there could be one.
enum Begun<'scope> {
    Thread(ScopedJoinHandle<'scope, Answer>),
    Answered(Answer),
}

/// Connects each, and says in their order what came of it; less than all once the caller has gone.
pub(super) fn connect_all(
    connects: &[ConnectOptions],
    caller: &Caller,
    connect: impl Fn(&ConnectOptions) -> Answer + Sync,
) -> Vec<Answer> {
    let connect = &connect;
    // The usual case needs no thread.
    if let [only] = connects {
        let tried = (!caller.has_gone()).then(|| connect(only));
        return tried.into_iter().collect();
    }
    thread::scope(|scope| {
        let (ended, end) = mpsc::channel();
        let mut begun = Vec::new();
        let mut under_way = 0_usize;
        for options in connects {
            wait_for_turn(&end, &mut under_way);
            if caller.has_gone() {
                break;
            }
            let ended = ended.clone();
            let in_thread = move || {
                let answer = connect(options);
                // Nobody listens any more once all are begun.
                ended.send(()).ok();
                answer
            };
            begun.push(begin(scope, in_thread, || connect(options)));
            under_way += usize::from(matches!(begun.last(), Some(Begun::Thread(_))));
        }
        begun.into_iter().map(Begun::answer).collect()
    })
}

/// Waits until what is under way has ended, or a moment has passed and it is not too much.
fn wait_for_turn(end: &Receiver<()>, under_way: &mut usize) {
    while *under_way > 0 {
        match end.recv_timeout(MOMENT) {
            Ok(()) => *under_way -= 1,
            Err(_) if *under_way < AT_ONCE => return,
            Err(_) => {}
        }
    }
}

fn begin<'scope>(
    scope: &'scope Scope<'scope, '_>,
    connect: impl FnOnce() -> Answer + Send + 'scope,
    connect_here: impl FnOnce() -> Answer,
) -> Begun<'scope> {
    let builder = thread::Builder::new().name("dial".to_owned());
    match builder.stack_size(STACK).spawn_scoped(scope, connect) {
        Ok(thread) => Begun::Thread(thread),
        Err(_) => Begun::Answered(connect_here()),
    }
}

impl Begun<'_> {
    fn answer(self) -> Answer {
        match self {
            Begun::Thread(thread) => thread.join().expect("a connect does not panic"),
            Begun::Answered(answer) => answer,
        }
    }
}
