//! A network of the test's own: each host is a network namespace with an address of its own, its one cable ends in the router,
//! which is the namespace that the test runs in. The router can lose what one host sends to another, in one direction alone, and
//! cables can be pulled, slow, or lose packets. Nothing of it is seen outside, and all of it ends with the test.

use std::io::{BufRead, BufReader, Write};
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering::Relaxed};
use std::time::Duration;

/// Says that the test runs in namespaces of its own.
const INSIDE: &str = "FASTKEEP_TEST_NETWORK";
/// Where `ip netns` keeps names.
const NAMES: &str = "/run/netns";
/// A cable that loses packets loses all of them for so long, ...
const LOSES: Duration = Duration::from_millis(15);
/// ... and none for so long.
const KEEPS: Duration = Duration::from_millis(85);

/// Runs a test anew in namespaces of its own: network, mounts, and processes, which all end with it. `Ok(true)` within them,
/// `Ok(false)` when the test has run there and passed; an error says why this machine doesn't allow it.
///
/// # Panics
/// If the test failed.
pub fn within_namespaces(test: &str) -> Result<bool, String> {
    if std::env::var_os(INSIDE).is_some() {
        return Ok(true);
    }
    let user = Command::new("id").arg("-u").output().map_err(|error| format!("id: {error}"))?;
    let enter = || {
        let mut command = Command::new("unshare");
        if user.stdout != b"0\n" {
            command.args(["--user", "--map-root-user"]);
        }
        command.args(["--net", "--mount", "--pid", "--mount-proc", "--fork", "--kill-child", "--"]);
        command
    };
    // All that a network takes, done once.
    let probe = format!(
        "set -e; mkdir -p {NAMES}; mount -t tmpfs tmpfs {NAMES}; ip netns add probe; \
         ip link add cable type veth peer name eth0 netns probe; ip rule add from 10.77.1.2 to 10.77.2.2 blackhole; \
         echo 1 >/proc/sys/net/ipv4/ip_forward; nsenter --net={NAMES}/probe true"
    );
    let tried = enter().args(["sh", "-c", &probe]).output().map_err(|error| format!("unshare: {error}"))?;
    if !tried.status.success() {
        return Err(String::from_utf8_lossy(&tried.stderr).trim().to_owned());
    }
    let mut child = enter()
        .arg(std::env::current_exe().unwrap())
        .args([test, "--exact", "--nocapture"])
        .env(INSIDE, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Printed by this test, so that its harness shows it or not.
    let errors = BufReader::new(child.stderr.take().unwrap());
    let errors =
        std::thread::spawn(move || errors.lines().map_while(Result::ok).for_each(|line| println!("{line}")));
    for line in BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok) {
        println!("{line}");
    }
    errors.join().unwrap();
    assert!(child.wait().unwrap().success(), "{test} failed in its namespaces");
    Ok(false)
}

/// A host of the network.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Host {
    number: u8,
}

impl Host {
    /// Where it is reached.
    pub fn address(&self) -> Ipv4Addr {
        Ipv4Addr::new(10, 77, self.number, 2)
    }

    /// Its namespace.
    pub fn namespace(&self) -> PathBuf {
        PathBuf::from(format!("{NAMES}/{}", self.name()))
    }

    fn name(&self) -> String {
        format!("host{}", self.number)
    }

    /// The router's end of its cable.
    fn cable(&self) -> String {
        format!("cable{}", self.number)
    }
}

/// The hosts, and what is wrong between them now.
pub struct Network {
    /// All of them, numbered from 0.
    pub hosts: Vec<Host>,
    cuts: Vec<(Ipv4Addr, Ipv4Addr)>,
    slow: Vec<Host>,
    /// The kernel can delay packets; else a slow cable is one of low bandwidth.
    netem: bool,
}

impl Network {
    /// So many hosts; only within namespaces of the test's own.
    pub fn new(count: u8) -> Self {
        assert!(std::env::var_os(INSIDE).is_some(), "a network would change that of the machine");
        std::fs::create_dir_all(NAMES).unwrap();
        run("mount", &["-t", "tmpfs", "tmpfs", NAMES]);
        std::fs::write("/proc/sys/net/ipv4/ip_forward", "1").unwrap();
        ip("link set lo up");
        let hosts: Vec<Host> = (1..=count).map(|number| Host { number }).collect();
        for host in &hosts {
            let (name, cable, subnet) = (host.name(), host.cable(), format!("10.77.{}", host.number));
            ip(&format!("netns add {name}"));
            ip(&format!("link add {cable} type veth peer name eth0 netns {name}"));
            ip(&format!("addr add {subnet}.1/24 dev {cable}"));
            ip(&format!("link set {cable} up"));
            ip(&format!("-n {name} addr add {subnet}.2/24 dev eth0"));
            ip(&format!("-n {name} link set lo up"));
            ip(&format!("-n {name} link set eth0 up"));
            ip(&format!("-n {name} route add default via {subnet}.1"));
        }
        let try_it = ["qdisc", "add", "dev", "lo", "root", "netem", "delay", "1ms"];
        let netem = Command::new("tc").args(try_it).output().is_ok_and(|done| done.status.success());
        if netem {
            run("tc", &["qdisc", "del", "dev", "lo", "root"]);
        }
        Self { hosts, cuts: Vec::new(), slow: Vec::new(), netem }
    }

    /// What a slow cable is on this machine.
    pub fn slowness(&self) -> &'static str {
        if self.netem {
            "40 ms away (netem)"
        } else {
            "2 Mbit/s, at most 60 ms of queue, more is dropped (tbf; no netem in this kernel)"
        }
    }

    /// From now on the router drops all that any of `from` sends to any of `to`.
    pub fn cut(&mut self, from: &[Host], to: &[Host]) {
        for from in from {
            for to in to.iter().filter(|to| *to != from) {
                let pair = (from.address(), to.address());
                if !self.cuts.contains(&pair) {
                    ip(&format!("rule add from {} to {} blackhole", pair.0, pair.1));
                    self.cuts.push(pair);
                }
            }
        }
    }

    /// Drops nothing any more.
    pub fn mend(&mut self) {
        for (from, to) in self.cuts.drain(..) {
            ip(&format!("rule del from {from} to {to} blackhole"));
        }
    }

    /// All hosts but these.
    pub fn others(&self, than: &[Host]) -> Vec<Host> {
        self.hosts.iter().filter(|host| !than.contains(host)).cloned().collect()
    }

    /// Pulls a host's cable, or puts it back.
    pub fn plug(&self, host: &Host, plugged: bool) {
        ip(&format!("link set {} {}", host.cable(), if plugged { "up" } else { "down" }));
    }

    /// Makes a host's cable slow in both directions.
    pub fn slow_down(&mut self, host: &Host) {
        let how = if self.netem {
            ["netem", "delay", "20ms", "5ms", "limit", "10000"].as_slice()
        } else {
            &["tbf", "rate", "2mbit", "burst", "8kb", "latency", "60ms"]
        };
        let (cable, namespace) = (host.cable(), host.name());
        run("tc", &[&["qdisc", "add", "dev", &cable, "root"], how].concat());
        run("tc", &[&["-n", &namespace, "qdisc", "add", "dev", "eth0", "root"], how].concat());
        self.slow.push(host.clone());
    }

    /// Cables are as fast as ever.
    pub fn speed_up(&mut self) {
        for host in self.slow.drain(..) {
            run("tc", &["qdisc", "del", "dev", &host.cable(), "root"]);
            run("tc", &["-n", &host.name(), "qdisc", "del", "dev", "eth0", "root"]);
        }
    }

    /// Loses about every seventh packet of a host, in bursts, until told to stop.
    pub fn lose_packets(&mut self, host: &Host, stop: &AtomicBool) {
        let (one, others) = (std::slice::from_ref(host), self.others(std::slice::from_ref(host)));
        while !stop.load(Relaxed) {
            self.cut(one, &others);
            self.cut(&others, one);
            std::thread::sleep(LOSES);
            self.mend();
            std::thread::sleep(KEEPS);
        }
    }
}

fn ip(arguments: &str) {
    run("ip", &arguments.split(' ').collect::<Vec<_>>());
}

fn run(program: &str, arguments: &[&str]) {
    let done = Command::new(program).args(arguments).output().unwrap();
    let why = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{program} {}: {why}", arguments.join(" "));
}

/// Says on the terminal, whatever the test harness captures, that a test did not run.
pub fn say_skipped(test: &str, why: &str) {
    let _ = writeln!(std::io::stderr(), "SKIPPED {test}: this machine doesn't allow it: {why}");
}
