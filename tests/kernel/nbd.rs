//! A network block device of this machine (include/uapi/linux/nbd.h) that the case itself serves, out of memory, over a
//! pair of sockets. It can hold one write: its data reach the image, and its answer the kernel, only later.

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::Shutdown;
use std::os::fd::AsRawFd as _;
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use rustix::ioctl::{IntegerSetter, NoArg, Opcode, ioctl, opcode};

use crate::scene::eventually;
use crate::writer::BLOCK;

/// What the guest must load; every kernel of the lab has it.
pub(crate) const MODULE: &str = "nbd";
/// On the kernel command line: the module makes sixteen disks by itself.
pub(crate) const ONE_DISK: &str = "nbd.nbds_max=1";

/// Its place.
const NODE: &str = "/dev/nbd0";
/// There while it is served.
const SERVED: &str = "/sys/block/nbd0/pid";

const SET_SOCK: Opcode = opcode::none(0xab, 0);
const SET_BLKSIZE: Opcode = opcode::none(0xab, 1);
const DO_IT: Opcode = opcode::none(0xab, 3);
const SET_SIZE_BLOCKS: Opcode = opcode::none(0xab, 7);
const DISCONNECT: Opcode = opcode::none(0xab, 8);

const REQUEST: [u8; 4] = 0x2560_9513_u32.to_be_bytes();
const REPLY: [u8; 4] = 0x6744_6698_u32.to_be_bytes();
const READ: u32 = 0;
const WRITE: u32 = 1;
const END: u32 = 2;

/// The disk. It is gone with the case, or by [`NetworkDisk::end`].
pub(crate) struct NetworkDisk {
    device: File,
    shared: Arc<Shared>,
    kernel: JoinHandle<()>,
    server: JoinHandle<()>,
}

/// What happened to a write of the block that was to be held once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Step {
    /// It came, and waits.
    Held,
    /// It is in the image, and answered.
    Written,
    /// It was held, and is in the image, and answered.
    WrittenLate,
}

/// A step of a write.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Seen {
    pub(crate) at: Instant,
    pub(crate) step: Step,
    /// The first of the data.
    pub(crate) byte: u8,
}

/// What the threads that serve it have in common.
struct Shared {
    state: Mutex<State>,
    /// Each reply is whole.
    replies: Mutex<UnixStream>,
}

struct State {
    image: Vec<u8>,
    /// The byte at which the block lies that is watched, and for how long its next write is held.
    watched: Option<u64>,
    hold: Option<Duration>,
    seen: Vec<Seen>,
}

/// `struct nbd_request`, without its magic number.
struct Request {
    command: u32,
    handle: [u8; 8],
    from: u64,
    bytes: usize,
}

impl NetworkDisk {
    /// A disk of zeros with blocks of [`BLOCK`] bytes.
    pub(crate) fn make(bytes: usize) -> NetworkDisk {
        let (here, there) = UnixStream::pair().expect("a pair of sockets");
        let device = File::options().read(true).write(true).open(NODE);
        let device = device.expect("the device opens");
        let number = usize::try_from(there.as_raw_fd()).expect("a file descriptor");
        set::<SET_SOCK>(&device, number).expect("the kernel takes the socket");
        set::<SET_BLKSIZE>(&device, BLOCK).expect("a block size");
        set::<SET_SIZE_BLOCKS>(&device, bytes / BLOCK).expect("a size");
        let shared = Arc::new(Shared {
            state: Mutex::new(State {
                image: vec![0; bytes],
                watched: None,
                hold: None,
                seen: Vec::new(),
            }),
            replies: Mutex::new(here.try_clone().expect("the same socket")),
        });
        let serving = Arc::clone(&shared);
        let server = thread::spawn(move || serve(here, &serving).expect("the kernel asks"));
        let served = device.try_clone().expect("the same device");
        let kernel = thread::spawn(move || run::<DO_IT>(&served).expect("it is served"));
        eventually("the disk to be served", || {
            Path::new(SERVED).exists().then_some(())
        });
        NetworkDisk {
            device,
            shared,
            kernel,
            server,
        }
    }

    /// Its node.
    pub(crate) fn node() -> &'static Path {
        Path::new(NODE)
    }

    /// The next write of the block at this byte waits so long in the server, and no other one does.
    pub(crate) fn hold_next_write(&self, at: u64, hold: Duration) {
        let mut state = self.shared.state();
        state.watched = Some(at);
        state.hold = Some(hold);
    }

    /// What happened to that block since.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        self.shared.state().seen.clone()
    }

    /// Nobody may use it any more.
    pub(crate) fn end(self) {
        run::<DISCONNECT>(&self.device).expect("the kernel lets go");
        self.kernel.join().expect("it is no longer served");
        self.server.join().expect("no panic");
    }
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("no panic holds the lock")
    }

    fn reply(&self, handle: [u8; 8], data: &[u8]) -> io::Result<()> {
        let mut replies = self.replies.lock().expect("no panic holds the lock");
        replies.write_all(&[&REPLY[..], &[0; 4], &handle, data].concat())
    }

    fn read(&self, request: &Request) -> io::Result<()> {
        let from = place(request.from);
        let data = self.state().image[from..from + request.bytes].to_vec();
        self.reply(request.handle, &data)
    }

    fn write(&self, request: &Request, data: &[u8], step: Step) -> io::Result<()> {
        let from = place(request.from);
        let mut state = self.state();
        state.image[from..from + data.len()].copy_from_slice(data);
        if state.watched == Some(request.from) {
            state.saw(step, data);
        }
        drop(state);
        self.reply(request.handle, &[])
    }

    /// For how long a write is to wait.
    fn hold(&self, request: &Request, data: &[u8]) -> Option<Duration> {
        let mut state = self.state();
        if state.watched != Some(request.from) {
            return None;
        }
        let hold = state.hold.take()?;
        state.saw(Step::Held, data);
        Some(hold)
    }
}

impl State {
    fn saw(&mut self, step: Step, data: &[u8]) {
        self.seen.push(Seen {
            at: Instant::now(),
            step,
            byte: data[0],
        });
    }
}

impl Request {
    fn receive(socket: &mut UnixStream) -> io::Result<Request> {
        let mut raw = [0; 28];
        socket.read_exact(&mut raw)?;
        let (magic, rest) = raw.split_at(4);
        assert_eq!(magic, REQUEST, "a request");
        let word = |at: usize| u32::from_be_bytes(rest[at..at + 4].try_into().expect("4 bytes"));
        let from = rest[12..20].try_into().expect("8 bytes");
        Ok(Request {
            command: word(0),
            handle: rest[4..12].try_into().expect("8 bytes"),
            from: u64::from_be_bytes(from),
            bytes: usize::try_from(word(20)).expect("it fits"),
        })
    }
}

/// Answers the kernel until it ends.
fn serve(mut socket: UnixStream, shared: &Arc<Shared>) -> io::Result<()> {
    loop {
        let request = Request::receive(&mut socket)?;
        match request.command {
            READ => shared.read(&request)?,
            WRITE => {
                let mut data = vec![0; request.bytes];
                socket.read_exact(&mut data)?;
                match shared.hold(&request, &data) {
                    None => shared.write(&request, &data, Step::Written)?,
                    Some(hold) => {
                        let shared = Arc::clone(shared);
                        thread::spawn(move || {
                            thread::sleep(hold);
                            shared.write(&request, &data, Step::WrittenLate)
                        });
                    }
                }
            }
            END => return socket.shutdown(Shutdown::Both),
            other => panic!("nobody has offered command {other}"),
        }
    }
}

fn place(at: u64) -> usize {
    usize::try_from(at).expect("a place in memory")
}

#[expect(unsafe_code, reason = "an ioctl that rustix does not know")]
fn set<const OPCODE: Opcode>(device: &File, value: usize) -> io::Result<()> {
    // SAFETY: these commands of nbd take a number, and touch no memory of this process.
    unsafe { ioctl(device, IntegerSetter::<OPCODE>::new_usize(value))? };
    Ok(())
}

#[expect(unsafe_code, reason = "an ioctl that rustix does not know")]
fn run<const OPCODE: Opcode>(device: &File) -> io::Result<()> {
    // SAFETY: these commands of nbd take nothing.
    unsafe { ioctl(device, NoArg::<OPCODE>::new())? };
    Ok(())
}
