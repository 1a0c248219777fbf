//! Proves that clients are served under TLS beside plain ones, with certificates asked for or not; that what is wrong is
//! refused by name and harms nobody else; and that certificates are renewed while clients come and go.
#![allow(clippy::unwrap_used)]

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use tests_harness::{Authority, Client, Fastkeep, Identity, Reply, Running, free_ports, ports_in_a_row};

/// A server with certificates of `authority`, on a TLS port beside a plain one.
fn server(folder: &Path, authority: &Authority, identity: &Identity, more: &[&str]) -> Fastkeep {
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let port = free_ports(1)[0].to_string();
    let (cert, key, ca) = (text(&identity.cert), text(&identity.key), text(&authority.file));
    let files = ["--tls-cert-file", &cert, "--tls-key-file", &key, "--tls-ca-cert-file", &ca];
    // A lease that a busy machine doesn't lose: nothing here is about failing over.
    let mut arguments = vec!["--tls-port", &port, "--primary-lease-ms", "30000"];
    arguments.extend(files);
    // TLS beside plain needs both ports named.
    let plain = free_ports(1)[0].to_string();
    arguments.extend(["--port", &plain]);
    arguments.extend(more);
    Fastkeep::up(&folder.join("data"), &arguments)
}

fn output(command: &mut Command) -> String {
    let output = command.output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{command:?} failed: {out}{err}");
    out.into_owned()
}

fn redis_cli(port: u16, authority: &Authority, identity: Option<&Identity>, more: &[&str]) -> Command {
    let mut command = Command::new("redis-cli");
    command.args(["-p", &port.to_string(), "--tls", "--cacert"]).arg(&authority.file);
    if let Some(identity) = identity {
        command.arg("--cert").arg(&identity.cert).arg("--key").arg(&identity.key);
    }
    command.args(more);
    command
}

fn metric(running: &Running, name: &str) -> f64 {
    let mut stream = TcpStream::connect(("127.0.0.1", running.http_port)).unwrap();
    write!(stream, "GET /metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).unwrap();
    let line = page.lines().find(|line| line.starts_with(name));
    line.and_then(|line| line.rsplit(' ').next()).and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

fn eventually(what: &str, mut holds: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !holds() {
        assert!(begun.elapsed() < Duration::from_secs(30), "{what}: not after {:?}", begun.elapsed());
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn real_clients_come_under_tls_and_plain_side_by_side() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let (own, client) = (authority.issue("server"), authority.issue("client"));
    for shards in ["1", "3"] {
        let more = ["--shards", shards];
        std::fs::create_dir(folder.path().join(shards)).unwrap();
        let running = server(&folder.path().join(shards), &authority, &own, &more).start();
        let ask = |more: &[&str]| output(&mut redis_cli(running.tls_port, &authority, Some(&client), more));
        assert_eq!(ask(&["set", "a", "1"]).trim(), "OK");
        assert_eq!(running.client().text("GET a"), "1");
        assert_eq!(ask(&["--tls-ciphersuites", "TLS_AES_256_GCM_SHA384", "get", "a"]).trim(), "1");
        assert!(ask(&["-3", "info", "server"]).contains(&format!("tcp_port:{}", running.port)));
        // A value over many records, and a pipe of many commands.
        let large = "x".repeat(8_000_000);
        let file = folder.path().join("large");
        std::fs::write(&file, &large).unwrap();
        let mut set = redis_cli(running.tls_port, &authority, Some(&client), &["-x", "set", "large"]);
        output(set.stdin(std::fs::File::open(&file).unwrap()));
        assert_eq!(ask(&["get", "large"]).trim_end(), large);
        let mut pipe = redis_cli(running.tls_port, &authority, Some(&client), &["--pipe"]);
        std::fs::write(&file, "INCR piped\r\n".repeat(30_000)).unwrap();
        let said = output(pipe.stdin(std::fs::File::open(&file).unwrap()));
        assert!(said.contains("errors: 0, replies: 30000"), "{said}");
        assert_eq!(running.client().text("GET piped"), "30000");

        let python = std::env::var("FASTKEEP_PYTHON").unwrap_or_else(|_| {
            format!("{}/.cache/fastkeep/venv/bin/python", std::env::var("HOME").unwrap())
        });
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("programs/redis_py.py");
        let mut redis_py = Command::new(python);
        redis_py.arg(program).arg(running.tls_port.to_string()).arg(&authority.file);
        let said = output(redis_py.arg(&client.cert).arg(&client.key));
        assert!(said.contains("all as expected"), "{said}");
    }
}

#[tokio::test]
async fn redis_rs_comes_under_tls() {
    use redis::AsyncCommands;
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let running = server(folder.path(), &authority, &authority.issue("server"), &[]).start();
    let client = authority.issue("client");
    let certificates = redis::TlsCertificates {
        client_tls: Some(redis::ClientTlsConfig {
            client_cert: std::fs::read(&client.cert).unwrap(),
            client_key: std::fs::read(&client.key).unwrap(),
        }),
        root_cert: Some(std::fs::read(&authority.file).unwrap()),
    };
    let url = format!("rediss://localhost:{}/?protocol=resp3", running.tls_port);
    let client = redis::Client::build_with_tls(url, certificates).unwrap();
    let mut connection = client.get_multiplexed_async_connection().await.unwrap();
    let all: Vec<_> = (0..500_i64)
        .map(|n| {
            let mut connection = connection.clone();
            tokio::spawn(async move { connection.set::<_, _, ()>(format!("n:{n}"), n).await })
        })
        .collect();
    for one in all {
        one.await.unwrap().unwrap();
    }
    assert_eq!(connection.get::<_, i64>("n:499").await.unwrap(), 499);
}

#[test]
fn whoever_has_no_good_certificate_is_refused_and_counted() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let stranger = Authority::new(folder.path(), "stranger");
    let own = authority.issue("server");
    let running = server(folder.path(), &authority, &own, &[]).start();
    let port = running.tls_port;
    let refused = |identity: Option<&Identity>| authority.connect(port, identity).unwrap_err().to_string();
    authority.connect(port, Some(&authority.issue("client"))).unwrap();
    assert!(refused(None).contains("CertificateRequired"), "{}", refused(None));
    let foreign = stranger.issue("foreign");
    assert!(refused(Some(&foreign)).contains("UnknownCA"), "{}", refused(Some(&foreign)));
    let expired = authority.issue_until("expired", 2021);
    assert!(refused(Some(&expired)).contains("CertificateExpired"), "{}", refused(Some(&expired)));
    // The other way round, the client refuses a server of another authority.
    let error = stranger.connect(port, Some(&foreign)).unwrap_err().to_string();
    assert!(error.contains("UnknownIssuer"), "{error}");
    eventually("refusals are counted", || {
        metric(&running, "fastkeep_proxy_tls_handshakes_total{result=\"failed\"}") >= 4.0
    });
    // redis-cli of the same kinds: a certificate, none.
    assert!(redis_cli(port, &authority, Some(&expired), &["ping"]).output().unwrap().stdout.is_empty());
    // Optional: none is well, a bad one isn't. No: nobody is asked.
    drop(running);
    let running = server(folder.path(), &authority, &own, &["--tls-auth-clients", "optional"]).start();
    authority.connect(running.tls_port, None).unwrap();
    assert!(authority.connect(running.tls_port, Some(&foreign)).is_err());
    drop(running);
    let running = server(folder.path(), &authority, &own, &["--tls-auth-clients", "no"]).start();
    authority.connect(running.tls_port, None).unwrap();
    // There is TLS only.
    drop(running);
    let running = server(folder.path(), &authority, &own, &["--port", "0"]).start();
    assert_eq!(running.port, running.tls_port);
    authority.connect(running.tls_port, Some(&authority.issue("client"))).unwrap();
}

#[test]
fn protocols_are_those_that_are_set() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let own = authority.issue("server");
    let only = ["--tls-protocols", "TLSv1.2", "--tls-auth-clients", "no"];
    let running = server(folder.path(), &authority, &own, &only).start();
    let stream = authority.connect(running.tls_port, None).unwrap();
    assert_eq!(stream.conn.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_2));
    drop(running);
    let running = server(folder.path(), &authority, &own, &["--tls-auth-clients", "no"]).start();
    let stream = authority.connect(running.tls_port, None).unwrap();
    assert_eq!(stream.conn.protocol_version(), Some(rustls::ProtocolVersion::TLSv1_3));

    // Cipher suites by name, while it runs, for new connections; what can't be had is refused by name and changes nothing.
    let mut client = running.client();
    let suite = || {
        let stream = authority.connect(running.tls_port, None).unwrap();
        stream.conn.negotiated_cipher_suite().unwrap().suite()
    };
    assert_eq!(client.text("CONFIG SET tls-ciphersuites TLS_CHACHA20_POLY1305_SHA256"), "OK");
    assert_eq!(suite(), rustls::CipherSuite::TLS13_CHACHA20_POLY1305_SHA256);
    let two = "TLS_AES_128_GCM_SHA256:TLS_CHACHA20_POLY1305_SHA256";
    let said = client.text(&format!("CONFIG SET tls-ciphersuites {two} tls-prefer-server-ciphers yes"));
    assert_eq!(said, "OK");
    assert_eq!(suite(), rustls::CipherSuite::TLS13_AES_128_GCM_SHA256);
    let ecdsa = "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
    assert_eq!(client.text(&format!("CONFIG SET tls-protocols TLSv1.2 tls-ciphers {ecdsa}")), "OK");
    assert!(format!("{:?}", suite()).ends_with("WITH_CHACHA20_POLY1305_SHA256"));
    for (name, value, why) in [
        ("tls-ciphers", "DEFAULT:!MEDIUM", "`DEFAULT` is none of the suites"),
        ("tls-ciphersuites", "TLS_AES_128_CCM_SHA256", "TLS_AES_256_GCM_SHA384"),
        ("tls-ca-cert-dir", "/etc/ssl", "tls-ca-cert-file"),
        ("tls-client-cert-file", own.cert.to_str().unwrap(), "belong together"),
        ("tls-session-caching", "no", "tickets"),
        ("tls-port", "7000", "immutable"),
        ("tls-cluster", "yes", "immutable"),
    ] {
        let said = client.text(&format!("CONFIG SET {name} {value}"));
        assert!(said.starts_with("-ERR") && said.contains(why), "{name}: {said}");
    }
    assert_eq!(config(&mut client, "tls-ciphers"), ecdsa);
    assert_eq!(config(&mut client, "tls-ciphersuites"), two);
}

#[test]
fn what_cannot_be_used_is_named_and_nothing_starts() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let (own, other) = (authority.issue("server"), authority.issue("other"));
    let try_with = |identity: &Identity, more: &[&str]| {
        server(folder.path(), &authority, identity, more).try_start().err().expect("it started")
    };
    let missing = Identity { cert: folder.path().join("nowhere.crt"), ..own.clone() };
    let why = try_with(&missing, &[]);
    assert!(why.contains("tls: ") && why.contains("nowhere.crt") && why.contains("No such file"), "{why}");
    let swapped = Identity { cert: own.cert.clone(), key: other.key.clone() };
    let why = try_with(&swapped, &[]);
    assert!(
        why.contains("other.key") && why.contains("does not belong to") && why.contains("server.crt"),
        "{why}"
    );
    let no_pem = folder.path().join("no.pem");
    std::fs::write(&no_pem, "these are no certificates").unwrap();
    let why = try_with(&Identity { cert: no_pem.clone(), key: own.key.clone() }, &[]);
    assert!(why.contains("no.pem holds no PEM certificate"), "{why}");
    let why = try_with(&Identity { cert: own.cert.clone(), key: no_pem.clone() }, &[]);
    assert!(why.contains("no.pem holds no PEM private key"), "{why}");
    std::fs::write(&no_pem, "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n").unwrap();
    let why = try_with(&Identity { cert: no_pem.clone(), key: own.key.clone() }, &[]);
    assert!(why.contains("no.pem its first certificate cannot be read"), "{why}");
    std::fs::write(
        &no_pem,
        "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
    )
    .unwrap();
    let why = try_with(&Identity { cert: own.cert.clone(), key: no_pem }, &[]);
    assert!(why.contains("encrypted"), "{why}");
    for (flag, value, said) in [
        ("--tls-protocols", "TLSv1.1", "TLSv1.1"),
        ("--tls-auth-clients", "maybe", "maybe"),
        ("--tls-ca-cert-file", "", "tls.ca_cert_file"),
        ("--tls-cert-file", "", "tls.cert_file"),
        ("--tls-ciphers", "HIGH", "`HIGH` is none of the suites"),
        ("--tls-client-key-file", "alone.key", "belong together"),
    ] {
        let why = try_with(&own, &[flag, value]);
        assert!(why.contains(said), "{why}");
    }
}

/// Garbage, silence and a storm of handshakes: those who are connected are served, and newcomers after them.
#[test]
fn strangers_on_the_port_leave_clients_served() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let own = authority.issue("server");
    let limits = ["--tls-handshakes", "8", "--tls-handshake-ms", "700", "--tls-auth-clients", "no"];
    let running = server(folder.path(), &authority, &own, &limits).start();
    let mut established = authority.connect(running.tls_port, None).unwrap();
    let mut ping = || {
        established.write_all(b"PING\r\n").unwrap();
        let mut answer = [0; 7];
        established.read_exact(&mut answer).unwrap();
        assert_eq!(&answer, b"+PONG\r\n");
    };
    for garbage in
        [&b"*1\r\n$4\r\nPING\r\n"[..], &[0; 4096], b"GET / HTTP/1.1\r\n\r\n", &[0x16, 3, 1, 0xff, 0xff, 1]]
    {
        let mut stranger = TcpStream::connect(("127.0.0.1", running.tls_port)).unwrap();
        stranger.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stranger.write_all(garbage).unwrap();
        let mut heard = Vec::new();
        let _ = stranger.read_to_end(&mut heard);
        assert!(!heard.windows(4).any(|window| window == b"PONG"), "{heard:?}");
        ping();
    }
    // More silent ones than there are places for handshakes: each loses its place in time.
    let silent: Vec<TcpStream> =
        (0..24).map(|_| TcpStream::connect(("127.0.0.1", running.tls_port)).unwrap()).collect();
    ping();
    authority.connect(running.tls_port, None).unwrap();
    ping();
    eventually("late handshakes are counted", || {
        metric(&running, "fastkeep_proxy_tls_handshakes_total{result=\"late\"}") >= 8.0
    });
    drop(silent);
    // A storm of handshakes from several threads.
    let stop = AtomicBool::new(false);
    let storms = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    if authority.connect(running.tls_port, None).is_ok() {
                        storms.fetch_add(1, Relaxed);
                    }
                }
            });
        }
        let begun = Instant::now();
        let mut answered = 0;
        while storms.load(Relaxed) < 100 || answered < 100 {
            assert!(
                begun.elapsed() < Duration::from_secs(60),
                "{answered} pings during {storms:?} handshakes"
            );
            ping();
            answered += 1;
        }
        stop.store(true, Relaxed);
    });
    // One that vanishes within a request leaves nothing behind.
    let mut half = authority.connect(running.tls_port, None).unwrap();
    half.write_all(b"*2\r\n$3\r\nGET\r\n$1000\r\nabc").unwrap();
    drop(half);
    ping();
}

/// Who has come under TLS is told the ports under TLS, and others the plain ones.
#[test]
fn the_endpoints_of_shards_are_reached_under_tls_and_plain() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let identity = authority.issue("server");
    let (plain, under_tls) = (ports_in_a_row(2), ports_in_a_row(2));
    let (plain_text, tls_text) = (plain.to_string(), under_tls.to_string());
    let more = ["--shards", "2", "--cluster-port", &plain_text, "--cluster-tls-port", &tls_text];
    let _running = server(folder.path(), &authority, &identity, &more).start();
    for (at, key) in ["{06S}", "a", "{06S}", "a"].into_iter().enumerate() {
        let port = under_tls + (at as u16 & 1);
        let ask = |more: &[&str]| output(&mut redis_cli(port, &authority, Some(&identity), more));
        assert_eq!(ask(&["-c", "set", key, "v"]).trim(), "OK");
        let moved = format!("MOVED 15495 127.0.0.1:{}", under_tls + 1);
        assert_eq!(
            output(&mut redis_cli(under_tls, &authority, Some(&identity), &["get", "a"])).trim(),
            moved
        );
        assert!(
            ask(&["cluster", "slots"]).contains(&tls_text)
                && !ask(&["cluster", "slots"]).contains(&plain_text)
        );
    }
    let mut client = Client::connect(plain).unwrap();
    assert_eq!(client.text("GET a"), format!("-MOVED 15495 127.0.0.1:{}", plain + 1));
    assert_eq!(Client::connect(plain + 1).unwrap().text("GET a"), "v");
}

#[test]
fn certificates_are_renewed_under_load() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let next_authority = Authority::new(folder.path(), "next");
    let own = authority.issue("server");
    let http_tls = free_ports(1)[0].to_string();
    let http = free_ports(1)[0].to_string();
    let more = ["--http-tls-port", &http_tls, "--http-port", &http];
    let running = server(folder.path(), &authority, &own, &more).start();
    let client = authority.issue("client");
    let served_by = |authority: &Authority, port: u16| {
        let stream = authority.connect(port, Some(&client)).ok()?;
        Some(stream.conn.peer_certificates().unwrap()[0].to_vec())
    };
    let first = served_by(&authority, running.tls_port).unwrap();
    let mut established = authority.connect(running.tls_port, Some(&client)).unwrap();

    // Clients come, write and go throughout; not one of them fails.
    let stop = AtomicBool::new(false);
    let written = AtomicU64::new(0);
    std::thread::scope(|scope| {
        for _ in 0..3 {
            scope.spawn(|| {
                while !stop.load(Relaxed) {
                    let mut stream = authority.connect(running.tls_port, Some(&client)).unwrap();
                    stream.write_all(b"INCR written\r\n").unwrap();
                    assert_ne!(stream.read(&mut [0; 16]).unwrap(), 0);
                    written.fetch_add(1, Relaxed);
                }
            });
        }
        let mut before = first.clone();
        for round in 0..3 {
            own.replace_with(&authority.issue(&format!("renewed-{round}")));
            eventually("the renewed certificate is shown", || {
                served_by(&authority, running.tls_port).is_some_and(|now| now != before)
            });
            before = served_by(&authority, running.tls_port).unwrap();
        }
        // A file that cannot be used: told in log and metric, the last good one stays.
        let good = std::fs::read(&own.cert).unwrap();
        std::fs::write(&own.cert, "half a certi").unwrap();
        eventually("the failure is told", || running.log().contains("server.crt holds no PEM certificate"));
        assert!(metric(&running, "fastkeep_tls_reloads_total{identity=\"tls\",result=\"failed\"}") >= 1.0);
        assert_eq!(served_by(&authority, running.tls_port).unwrap(), before);
        std::fs::write(&own.cert, good).unwrap();
        let loaded = "fastkeep_tls_reloads_total{identity=\"tls\",result=\"ok\"}";
        let so_far = metric(&running, loaded);
        running.signal("HUP");
        eventually("SIGHUP is followed", || metric(&running, loaded) > so_far);
        stop.store(true, Relaxed);
    });
    assert_eq!(running.client().text("GET written"), written.load(Relaxed).to_string());
    assert!(metric(&running, "fastkeep_tls_certificate_expires_seconds{identity=\"tls\"}") > 4e9);
    // Who was connected before still is.
    established.write_all(b"PING\r\n").unwrap();
    let mut answer = [0; 7];
    established.read_exact(&mut answer).unwrap();

    // CONFIG SET names other files; a bad one changes nothing.
    let mut admin = running.client();
    let next = next_authority.issue("next-server");
    let text = |path: &Path| path.to_str().unwrap().to_owned();
    let bad = admin.call(&["CONFIG", "SET", "tls-cert-file", &text(&next.cert)]).unwrap();
    let Reply::Error(bad) = bad else { panic!("{bad:?}") };
    assert!(
        bad.contains("related to argument 'tls-cert-file'") && bad.contains("does not belong to"),
        "{bad}"
    );
    assert!(served_by(&authority, running.tls_port).is_some());
    let changed =
        admin.call(&["CONFIG", "SET", "tls-cert-file", &text(&next.cert), "tls-key-file", &text(&next.key)]);
    assert_eq!(changed.unwrap(), Reply::SimpleString(b"OK"[..].into()));
    assert!(
        served_by(&authority, running.tls_port).is_none()
            && served_by(&next_authority, running.tls_port).is_some()
    );
    assert_eq!(config(&mut admin, "tls-cert-file"), text(&next.cert));
    assert_eq!(config(&mut admin, "tls-auth-clients"), "yes");
    assert_eq!(config(&mut admin, "tls-port"), running.tls_port.to_string());
    let Reply::Error(why) = admin.run("CONFIG SET tls-auth-clients perhaps") else { panic!() };
    assert!(why.contains("perhaps") || why.contains("must be one of"), "{why}");
    // HTTP shows the same certificate.
    assert_ne!(running.https_port, 0);
    let url = format!("https://localhost:{}", running.https_port);
    let ctl = |authority: &Authority, identity: Option<&Identity>| {
        let mut command = Command::new(tests_harness::binary());
        command.args(["ctl", "status", "--http", &url, "--tls-ca-cert-file"]).arg(&authority.file);
        if let Some(identity) = identity {
            command.arg("--tls-cert-file").arg(&identity.cert).arg("--tls-key-file").arg(&identity.key);
        }
        let output = command.output().unwrap();
        let said =
            String::from_utf8_lossy(&output.stdout).into_owned() + &String::from_utf8_lossy(&output.stderr);
        (output.status.success(), said)
    };
    let (fine, said) = ctl(&next_authority, Some(&client));
    assert!(fine && said.contains("ready"), "{said}");
    let (fine, said) = ctl(&next_authority, None);
    assert!(!fine && said.contains("CertificateRequired"), "{said}");
    let (fine, said) = ctl(&authority, Some(&client));
    assert!(!fine && said.contains("UnknownIssuer"), "{said}");
}

/// A key under a passphrase, and the same in clear; the passphrase is `sesame`.
const ENCRYPTED: &str = include_str!("keys/encrypted.pem");
const PLAIN: &str = include_str!("keys/plain.pem");

#[test]
fn a_key_may_have_a_passphrase_which_is_shown_to_nobody() {
    let folder = tempfile::tempdir().unwrap();
    let authority = Authority::new(folder.path(), "authority");
    let (own, plain) = (authority.issue_for_key("server", PLAIN), authority.issue("plain"));
    std::fs::write(&own.key, ENCRYPTED).unwrap();
    let with = |pass: &str| {
        server(folder.path(), &authority, &own, &["--logging-filter", "trace"])
            .env("FASTKEEP_TLS_KEY_FILE_PASS", pass)
    };
    let why = with("").try_start().err().unwrap();
    assert!(why.contains("server.key holds an encrypted key, and there is no passphrase"), "{why}");
    let why = with("open").try_start().err().unwrap();
    assert!(why.contains("server.key") && why.contains("not opened by the passphrase"), "{why}");
    let mut running = with("sesame").start();
    let client = authority.issue("client");
    authority.connect(running.tls_port, Some(&client)).unwrap();

    // Changed while it runs, together with its key or not at all.
    let mut admin = running.client();
    let mut set = |identity: &Identity, pass: &str| {
        let (cert, key) = (identity.cert.to_str().unwrap(), identity.key.to_str().unwrap());
        let files = ["CONFIG", "SET", "tls-cert-file", cert, "tls-key-file", key, "tls-key-file-pass", pass];
        match admin.call(&files).unwrap() {
            Reply::SimpleString(_) => String::new(),
            other => format!("{other:?}"),
        }
    };
    assert_eq!(set(&plain, ""), "");
    assert!(set(&own, "sesame-wrong").contains("not opened by the passphrase"));
    authority.connect(running.tls_port, Some(&client)).unwrap();
    assert_eq!(set(&own, "sesame"), "");
    authority.connect(running.tls_port, Some(&client)).unwrap();
    assert_eq!(config(&mut admin, "tls-key-file-pass"), "(redacted)");
    assert_eq!(admin.text("CONFIG REWRITE"), "OK");
    let slow = format!("{:?}", admin.run("SLOWLOG GET 100"));
    assert!(!slow.contains("sesame"), "{slow}");
    running.kill();
    let kept = std::fs::read_to_string(folder.path().join("data/parameters.conf")).unwrap();
    assert!(kept.contains("tls-key-file ") && !kept.contains("sesame"), "{kept}");
    assert!(!running.log().contains("sesame"));
    // With the passphrase from outside as before, what was kept holds.
    running = with("sesame").start();
    authority.connect(running.tls_port, Some(&client)).unwrap();
    assert!(running.log().contains("tls-key-file is taken"));
}

fn config(client: &mut Client, name: &str) -> String {
    match client.run(&format!("CONFIG GET {name}")) {
        Reply::Array(pair) => match &pair[1] {
            Reply::BulkString(value) => String::from_utf8_lossy(value).into_owned(),
            other => panic!("{other:?}"),
        },
        other => panic!("{other:?}"),
    }
}
