//! Proves mutual TLS between separate processes: log replicas, proxy and snapshotter work over it as without, through the
//! loss of a replica and a renewal of certificates; a process with no certificate, or a stranger's, gets nothing.
#![allow(clippy::unwrap_used)]

use std::fs::File;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use tests_harness::{Authority, Fastkeep, Identity, Reply, Running, free_ports};

const ZONES: [&str; 3] = ["az-a", "az-b", "az-c"];

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: not after {:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
}

struct Cluster {
    folder: PathBuf,
    replicas: String,
    ports: Vec<u16>,
    authority: Authority,
}

impl Cluster {
    fn arguments(&self, kind: &str, name: &str, identity: Option<&Identity>) -> Vec<String> {
        let data = self.folder.join(name).display().to_string();
        let mut arguments = vec![kind, "--data", &data, "--log-replicas", &self.replicas, "--http-port", "0"];
        let store = self.folder.join("snapshots").display().to_string();
        match kind {
            "logsvc" => arguments.extend(["--zone", name]),
            "proxy" => arguments.extend(["--port", "0", "--store-url", &store]),
            _ => arguments.extend(["--store-url", &store, "--snapshots-interval-secs", "0"]),
        }
        let mut arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        if let Some(identity) = identity {
            let files = [("cert", &identity.cert), ("key", &identity.key), ("ca-cert", &self.authority.file)];
            for (what, file) in files {
                arguments.push(format!("--log-tls-{what}-file"));
                arguments.push(file.display().to_string());
            }
        }
        arguments
    }

    fn process(&self, kind: &str, name: &str) -> Fastkeep {
        let arguments = self.arguments(kind, name, Some(&self.authority.issue(name)));
        let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
        Fastkeep::new(&arguments, &self.folder.join(format!("{name}.log")))
    }

    /// Runs a process until its log says `why`; a proxy must not have got ready.
    fn refused(&self, kind: &str, name: &str, identity: Option<&Identity>, why: &str) {
        let (out, log) = (self.folder.join("refused.out"), self.folder.join("refused.log"));
        let mut child = Command::new(tests_harness::binary())
            .args(self.arguments(kind, name, identity))
            .stdin(Stdio::null())
            .stdout(File::create(&out).unwrap())
            .stderr(File::create(&log).unwrap())
            .spawn()
            .unwrap();
        eventually(why, || std::fs::read_to_string(&log).unwrap().contains(why));
        child.kill().unwrap();
        child.wait().unwrap();
        let said = std::fs::read_to_string(&out).unwrap();
        assert!(kind != "proxy" || !said.contains("ready on"), "{said}");
    }
}

fn start_all(logs: &[Fastkeep]) -> Vec<Running> {
    let start = |log: &Fastkeep| {
        let log = log.clone();
        std::thread::spawn(move || log.start())
    };
    let starting: Vec<_> = logs.iter().map(start).collect();
    starting.into_iter().map(|started| started.join().unwrap()).collect()
}

#[test]
fn processes_trust_each_other_by_certificates_and_nobody_else() {
    let folder = tempfile::tempdir().unwrap();
    let ports = free_ports(3);
    let named = ZONES.iter().zip(&ports).map(|(zone, port)| format!("{zone}=localhost:{port}"));
    let replicas = named.collect::<Vec<_>>().join(",");
    let authority = Authority::new(folder.path(), "cluster");
    let stranger = Authority::new(folder.path(), "stranger").issue("foreign");
    let cluster = Cluster { folder: folder.path().to_owned(), replicas, ports, authority };
    let processes: Vec<Fastkeep> = ZONES.iter().map(|zone| cluster.process("logsvc", zone)).collect();
    let mut logs = start_all(&processes);
    let snapshotter = cluster.process("snapshot", "snapshotter").start();
    let proxy = cluster.process("proxy", "node").start();
    let mut client = proxy.client();
    let mut count = 0;
    let mut write = |times: usize| {
        for _ in 0..times {
            count += 1;
            assert_eq!(client.run("INCR n"), Reply::Integer(count));
        }
    };
    write(200);
    snapshotter.ctl(&["snapshot", "create"]).unwrap();

    // Without a certificate, with a stranger's, and without TLS: nobody gets in, and each says why.
    cluster.refused("proxy", "plain", None, "cannot be used: ");
    cluster.refused("proxy", "foreign", Some(&stranger), "UnknownCA");
    cluster.refused("snapshot", "foreign-too", Some(&stranger), "UnknownCA");
    let mut raw = TcpStream::connect(("127.0.0.1", cluster.ports[0])).unwrap();
    raw.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let _ = raw.write_all(b"\x10\0\0\0\x01\0\0\0\0\0\0\0\0FKLW\x02\0\0\0");
    let mut heard = Vec::new();
    let _ = raw.read_to_end(&mut heard);
    assert!(heard.len() < 32, "{heard:?}");
    let refusals = logs.iter().map(Running::log).collect::<String>();
    assert!(refusals.contains("to the log was refused"), "{refusals}");

    // A replica of a stranger in a zone's place is not listened to by the others.
    logs[2].kill();
    let arguments = cluster.arguments("logsvc", "az-c", Some(&stranger));
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let impostor_log = folder.path().join("impostor.log");
    let impostor = start_unready(&arguments, &impostor_log);
    write(50);
    eventually("the impostor's certificate is refused", || {
        logs[0].log().contains("UnknownIssuer") || logs[1].log().contains("UnknownIssuer")
    });
    drop(impostor);
    logs[2] = processes[2].start();

    // Certificates are renewed, and then a replica goes: the new links use the new ones.
    for zone in ZONES {
        let own = Identity {
            cert: folder.path().join(format!("{zone}.crt")),
            key: folder.path().join(format!("{zone}.key")),
        };
        own.replace_with(&cluster.authority.issue("renewed"));
    }
    eventually("all replicas have loaded their new certificates", || {
        logs.iter().all(|log| log.log().contains("certificates loaded"))
    });
    logs[0].kill();
    write(50);
    logs[0] = processes[0].start();
    logs[1].kill();
    write(50);
}

struct Unready(std::process::Child);

impl Drop for Unready {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn start_unready(arguments: &[&str], log: &Path) -> Unready {
    let mut command = Command::new(tests_harness::binary());
    command.args(arguments).stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(log).unwrap());
    Unready(command.spawn().unwrap())
}
