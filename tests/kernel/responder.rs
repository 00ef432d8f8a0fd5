//! Peers that nvmet cannot play: one that stays silent, one that answers with other digests, one that pauses.
//!
//! They speak just enough NVMe/TCP (NVM Express TCP Transport Specification 1.0, section 3.6.2: the
//! initialise-connection PDUs, 128 bytes each).

use std::io::{Read, Write};
use std::net::{IpAddr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::{Arc, Condvar, Mutex};
use std::thread;

use nix::sys::socket::{AddressFamily, Backlog, SockFlag, SockType, SockaddrStorage, bind, socket};

use crate::scene::{PATIENCE, Scene};

const IC_PDU: usize = 128;

/// Listens in the target's network and gives each connection, with its running number, to `serve` on a thread.
fn listen(
    scene: &Scene,
    address: IpAddr,
    service: u16,
    serve: impl Fn(TcpStream) + Clone + Send + 'static,
) {
    let listener = scene
        .far
        .run(|| TcpListener::bind(SocketAddr::new(address, service)))
        .expect("a listener");
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let serve = serve.clone();
            thread::spawn(move || serve(stream));
        }
    });
}

/// Accepts, reads, and never says a word.
pub(crate) fn mute(scene: &Scene, address: IpAddr, service: u16) {
    listen(scene, address, service, |mut stream| {
        let mut sink = [0; 512];
        while stream.read(&mut sink).is_ok_and(|length| length > 0) {}
    });
}

/// Listens with room for one connection and never accepts it: the kernel drops every further SYN.
pub(crate) fn one_place(scene: &Scene, address: IpAddr, service: u16) -> OwnedFd {
    let listen = || {
        let socket = socket(
            AddressFamily::Inet,
            SockType::Stream,
            SockFlag::SOCK_CLOEXEC,
            None,
        )?;
        bind(
            socket.as_raw_fd(),
            &SockaddrStorage::from(SocketAddr::new(address, service)),
        )?;
        // Linux admits one connection more than the backlog says.
        nix::sys::socket::listen(&socket, Backlog::new(0)?)?;
        Ok(socket)
    };
    scene.far.run(listen).expect("a listener")
}

/// Answers the initialise-connection request with these digest bits (bit 0 header, bit 1 data).
pub(crate) fn with_digests(scene: &Scene, address: IpAddr, service: u16, digests: u8) {
    listen(scene, address, service, move |mut stream| {
        let mut request = [0; IC_PDU];
        if stream.read_exact(&mut request).is_ok()
            && stream.write_all(&ic_response(digests)).is_ok()
        {
            let mut sink = [0; 512];
            while stream.read(&mut sink).is_ok_and(|length| length > 0) {}
        }
    });
}

fn ic_response(digests: u8) -> [u8; IC_PDU] {
    let mut pdu = [0; IC_PDU];
    pdu[0] = 1; // PDU type: ICResp
    pdu[2] = 128; // header length
    pdu[4] = 128; // PDU length, little endian
    pdu[11] = digests;
    pdu[12..16].copy_from_slice(&0x2_0000_u32.to_le_bytes()); // MAXH2CDATA: 128 KiB
    pdu
}

/// A door that one side closes and the other waits at.
#[derive(Debug, Default)]
pub(crate) struct Door {
    state: Mutex<DoorState>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct DoorState {
    waiting: bool,
    open: bool,
}

impl Door {
    /// Waits until somebody stands before the closed door.
    pub(crate) fn wait_for_a_visitor(&self) {
        let state = self.state.lock().expect("no panic holds the lock");
        let (state, _) = self
            .changed
            .wait_timeout_while(state, PATIENCE, |state| !state.waiting)
            .expect("no panic holds the lock");
        assert!(state.waiting, "nobody came to the door within {PATIENCE:?}");
    }

    /// Lets everybody through, now and later.
    pub(crate) fn open(&self) {
        self.state.lock().expect("no panic holds the lock").open = true;
        self.changed.notify_all();
    }

    fn pass(&self) {
        let mut state = self.state.lock().expect("no panic holds the lock");
        state.waiting = true;
        self.changed.notify_all();
        drop(
            self.changed
                .wait_while(state, |state| !state.open)
                .expect("no panic holds the lock"),
        );
    }
}

/// Stands before a real target and holds back the host's Connect command of one queue (0 is the admin queue) until the
/// door opens: the host's kernel waits for the answer to that command, uninterruptibly.
pub(crate) fn pausing(
    scene: &Scene,
    address: IpAddr,
    service: u16,
    target: SocketAddr,
    queue: u16,
) -> Arc<Door> {
    let door = Arc::new(Door::default());
    let listener = scene
        .far
        .run(|| TcpListener::bind(SocketAddr::new(address, service)))
        .expect("a listener");
    // The connections to the target must be made in its network too, so the whole accept loop runs there.
    let far = scene.far.try_clone().expect("a second handle");
    let visitors = Arc::clone(&door);
    thread::spawn(move || {
        far.run(|| {
            for host in listener.incoming().map_while(Result::ok) {
                let behind = TcpStream::connect(target)?;
                let door = Arc::clone(&visitors);
                thread::spawn(move || relay(host, behind, &door, queue));
            }
            Ok(())
        })
    });
    door
}

/// Copies both ways; the Connect command of `queue` waits at the door.
fn relay(mut host: TcpStream, mut target: TcpStream, door: &Door, queue: u16) {
    let back = (target.try_clone(), host.try_clone());
    if let (Ok(from), Ok(to)) = back {
        thread::spawn(move || copy(from, to));
    }
    let mut request = [0; IC_PDU];
    if host.read_exact(&mut request).is_ok() && target.write_all(&request).is_ok() {
        let mut first = [0; 4096];
        let Ok(length) = host.read(&mut first) else {
            return;
        };
        if queue_of_connect(&first[..length]) == Some(queue) {
            door.pass();
        }
        if target.write_all(&first[..length]).is_ok() {
            copy(host, target);
        }
    }
}

/// The queue that a Connect command is for: a command capsule has a header of 8 bytes, and the command names the queue
/// at its byte 42 (NVM Express Base Specification 2.0, figure 385).
fn queue_of_connect(capsule: &[u8]) -> Option<u16> {
    let bytes = capsule.get(8 + 42..8 + 44)?;
    Some(u16::from_le_bytes([bytes[0], bytes[1]]))
}

fn copy(mut from: TcpStream, mut to: TcpStream) {
    // Either side may close at any time: that is the end of the relay, not a fault of the case.
    let _ended = std::io::copy(&mut from, &mut to);
    let _closed = to.shutdown(Shutdown::Both);
}
