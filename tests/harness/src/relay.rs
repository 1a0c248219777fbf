//! A TCP relay in front of a process: what goes in, what comes out, or both can be held back or delayed, like a network that loses
//! one direction.

use std::io::{Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

/// How often a held direction looks whether it may go on.
const LOOK_EVERY: Duration = Duration::from_millis(5);

/// One direction of all connections.
#[derive(Default)]
struct Way {
    held: AtomicBool,
    delay_ms: AtomicU64,
}

/// A relay from a port of its own to another one. It lives as long as the test process.
pub struct Relay {
    /// Where it listens.
    pub port: u16,
    inward: Arc<Way>,
    outward: Arc<Way>,
}

impl Relay {
    /// Listens on `port` and passes everything to `to` and back.
    pub fn start(port: u16, to: u16) -> Self {
        let listener = TcpListener::bind(("127.0.0.1", port)).unwrap();
        let (inward, outward) = (Arc::<Way>::default(), Arc::<Way>::default());
        let (inner, outer) = (Arc::clone(&inward), Arc::clone(&outward));
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let (inner, outer) = (Arc::clone(&inner), Arc::clone(&outer));
                std::thread::spawn(move || pass_on(&client, to, inner, &outer));
            }
        });
        Self { port, inward, outward }
    }

    /// Holds back what is sent to the process, and what it answers; new connections, too, get nowhere.
    pub fn hold(&self, inward: bool, outward: bool) {
        self.inward.held.store(inward, Relaxed);
        self.outward.held.store(outward, Relaxed);
    }

    /// Delays everything in both directions by so much.
    pub fn delay(&self, delay: Duration) {
        for way in [&self.inward, &self.outward] {
            way.delay_ms.store(delay.as_millis() as u64, Relaxed);
        }
    }
}

fn pass_on(client: &TcpStream, to: u16, inward: Arc<Way>, outward: &Way) {
    let Ok(server) = TcpStream::connect(("127.0.0.1", to)) else { return };
    for stream in [client, &server] {
        let _ = stream.set_nodelay(true);
    }
    let (Ok(from), Ok(into)) = (client.try_clone(), server.try_clone()) else { return };
    std::thread::spawn(move || pump(&from, &into, &inward));
    pump(&server, client, outward);
}

/// Copies until either end closes; then both are closed.
fn pump(mut from: &TcpStream, mut to: &TcpStream, way: &Way) {
    let mut chunk = vec![0; 64 << 10];
    while let Ok(count) = from.read(&mut chunk) {
        let delay = way.delay_ms.load(Relaxed);
        if delay > 0 {
            std::thread::sleep(Duration::from_millis(delay));
        }
        while way.held.load(Relaxed) {
            std::thread::sleep(LOOK_EVERY);
        }
        if count == 0 || to.write_all(&chunk[..count]).is_err() {
            break;
        }
    }
    for stream in [from, to] {
        let _ = stream.shutdown(Shutdown::Both);
    }
}
