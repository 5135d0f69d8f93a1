//! Addresses that must not be reached, and some that must: each tried as a request.

use std::collections::VecDeque;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;
use velodrome_connect::{
    Carrying, ConnectOptions, EgressRules, Incoming, Looking, Lookup, Outgoing, SendOptions,
    Transport,
};
use velodrome_spec::connector::AuthDef;

use crate::support::*;

/// Answers each name with the next of its answers; the last stays.
#[derive(Debug)]
struct Names(
    Mutex<VecDeque<(&'static str, Vec<IpAddr>)>>,
    Mutex<Vec<String>>,
);

impl Names {
    fn new(answers: &[(&'static str, &[&str])]) -> Arc<Self> {
        let answers = answers.iter().map(|(name, found)| {
            let found = found.iter().map(|address| address.parse().unwrap());
            (*name, found.collect())
        });
        Arc::new(Self(Mutex::new(answers.collect()), Mutex::default()))
    }

    fn asked(&self) -> usize {
        self.1.lock().unwrap().len()
    }
}

impl Lookup for Names {
    fn look_up(&self, name: &str) -> Looking {
        self.1.lock().unwrap().push(name.to_owned());
        let mut answers = self.0.lock().unwrap();
        let bare = name.trim_end_matches('.');
        let of = |(known, _): &(&str, Vec<IpAddr>)| *known == bare;
        let at = answers.iter().position(of);
        let found = at.map(|at| {
            let found = answers[at].1.clone();
            if answers.iter().filter(|answer| of(answer)).count() > 1 {
                answers.remove(at);
            }
            found
        });
        Box::pin(async move { found.ok_or_else(|| std::io::Error::other("there is no such name")) })
    }
}

/// Says that a request got through.
#[derive(Debug)]
struct Through;

impl Transport for Through {
    fn carry(&self, _: Outgoing) -> Carrying<'_> {
        Box::pin(async {
            Ok(Incoming {
                status: 200,
                ..Incoming::default()
            })
        })
    }
}

fn egress(allow: &[&str], only: &[&str]) -> ConnectOptions {
    let texts = |list: &[&str]| list.iter().map(|text| (*text).to_owned()).collect();
    ConnectOptions {
        egress: EgressRules {
            allow: texts(allow),
            only: texts(only),
            proxy: None,
        },
        own_addresses: vec!["8.8.4.4:7300".parse().unwrap()],
        redirect_base: "https://flows.test".to_owned(),
        ..ConnectOptions::default()
    }
}

async fn ask(rig: &Rig, url: &str) -> Result<u16, String> {
    let connection = connection(connector(AuthDef::None, None));
    let how = SendOptions {
        timeout: Duration::from_secs(2),
        ..how()
    };
    let sent = rig.ask(&connection, &request("GET", url), how).await;
    sent.map(|response| response.status)
        .map_err(|error| error.code.to_string())
}

/// Each in the form in which somebody might hope that it is not seen.
const HOSTILE: &[&str] = &[
    // Loopback, in every spelling that a URL may have.
    "http://127.0.0.1/",
    "http://127.0.0.1:80/",
    "http://127.255.255.254/",
    "http://127.1/",
    "http://127.0.1/",
    "http://2130706433/",
    "http://0x7f000001/",
    "http://0x7F.0.0.1/",
    "http://0x7f.1/",
    "http://0177.0.0.1/",
    "http://0177.0x0.0.1/",
    "http://017700000001/",
    "http://127.0.0.1./",
    "http://%31%32%37.0.0.1/",
    "http://①②⑦.⓪.⓪.①/",
    "http://１２７.０.０.１/",
    "http://127。0。0。1/",
    "http://127.0.0.1%2E/",
    "http:\\\\127.0.0.1/",
    "http:/127.0.0.1/",
    "http://127.0.0.1\\@api.test/",
    "http://127.0.0.1#@api.test/",
    "http://127.0.0.1?@api.test/",
    "http://localhost/",
    "http://LOCALHOST:8080/",
    "http://localhost./",
    "http://a.b.localhost/",
    "http://ⓛocalhost/",
    "http://0/",
    "http://0.0.0.0/",
    "http://00000000/",
    "http://[::1]/",
    "http://[::]/",
    "http://[0:0:0:0:0:0:0:1]/",
    "http://[0000:0000::0001]/",
    // IPv4 inside IPv6.
    "http://[::ffff:127.0.0.1]/",
    "http://[::ffff:7f00:1]/",
    "http://[::ffff:0:127.0.0.1]/",
    "http://[::127.0.0.1]/",
    "http://[64:ff9b::127.0.0.1]/",
    "http://[64:ff9b::a9fe:a9fe]/",
    "http://[64:ff9b:1::a00:1]/",
    "http://[2002:7f00:1::]/",
    "http://[2002:a9fe:a9fe::]/",
    "http://[2002:c0a8:101::1]/",
    "http://[2001:0:7f00:1::]/",
    "http://[2a00:1450::5efe:10.0.0.1]/",
    // Metadata services.
    "http://169.254.169.254/latest/meta-data",
    "http://169.254.43518/",
    "http://0xa9fea9fe/",
    "http://2852039166/",
    "http://0251.0376.0251.0376/",
    "http://169.254.170.2/v2/credentials",
    "http://[fd00:ec2::254]/",
    "http://[::ffff:169.254.169.254]/",
    "http://100.100.100.200/latest/meta-data",
    "http://168.63.129.16/",
    "http://192.0.0.192/",
    // Own networks, and what is nobody's.
    "http://10.0.0.1/",
    "http://10.255.255.255/",
    "http://172.16.0.1/",
    "http://172.31.255.255/",
    "http://192.168.0.1/",
    "http://192.168.257/",
    "http://100.64.0.1/",
    "http://100.127.255.255/",
    "http://169.254.0.1/",
    "http://192.0.0.1/",
    "http://192.0.2.1/",
    "http://198.51.100.1/",
    "http://203.0.113.1/",
    "http://198.18.0.1/",
    "http://198.19.255.255/",
    "http://192.88.99.1/",
    "http://224.0.0.1/",
    "http://239.255.255.255/",
    "http://240.0.0.1/",
    "http://255.255.255.255/",
    "http://[fc00::1]/",
    "http://[fdff:ffff::1]/",
    "http://[fe80::1]/",
    "http://[febf::1]/",
    "http://[fec0::1]/",
    "http://[ff02::1]/",
    "http://[100::1]/",
    "http://[2001:db8::1]/",
    "http://[3fff::1]/",
    "http://[5f00::1]/",
    "http://[4000::1]/",
    // This server itself.
    "http://8.8.4.4/",
    "http://8.8.4.4:7300/hooks/a",
    "http://[::ffff:8.8.4.4]/",
    "https://flows.test/hooks/a",
    "https://FLOWS.test.:443/hooks/a",
];

/// Names that lead to one of those.
const HOSTILE_NAMES: &[(&str, &[&str])] = &[
    ("loop.test", &["127.0.0.1"]),
    ("loop6.test", &["::1"]),
    ("mapped.test", &["::ffff:127.0.0.1"]),
    ("meta.test", &["169.254.169.254"]),
    ("metadata.google.internal", &["169.254.169.254"]),
    ("both.test", &["10.0.0.1", "fd00::1"]),
    ("nat64.test", &["64:ff9b::a00:1"]),
    ("own.test", &["8.8.4.4"]),
    ("none.test", &[]),
];

/// Where people do send requests.
const HARMLESS: &[&str] = &[
    "https://api.test/",
    "https://api.test./",
    "https://api.test:8443/",
    "http://8.8.8.8/",
    "http://134744072/",
    "http://9.255.255.255/",
    "http://11.0.0.1/",
    "http://100.63.255.255/",
    "http://100.128.0.1/",
    "http://128.0.0.1/",
    "http://168.63.129.17/",
    "http://169.253.255.255/",
    "http://172.15.255.255/",
    "http://172.32.0.1/",
    "http://192.167.1.1/",
    "http://198.17.0.1/",
    "http://223.255.255.255/",
    "http://[2606:4700::1111]/",
    "http://[2a00:1450:4001::5efe:808:808]/",
    "http://[64:ff9b::808:808]/",
    "http://[2002:808:808::1]/",
    "http://[::ffff:8.8.8.8]/",
    "https://localhost.test/",
    "https://mylocalhost/",
    "https://127.0.0.1.test/",
    "https://10-0-0-1.test/",
    "https://bücher.test/",
    "http://flows.test/",
    "https://www.flows.test/",
];

#[tokio::test]
async fn no_hostile_address_is_reached() {
    assert!(HOSTILE.len() >= 60);
    let rig = rig_with(egress(&[], &[]));
    for url in HOSTILE {
        let got = ask(&rig, url).await;
        assert_eq!(got, Err("request.refused_address".to_owned()), "{url}");
    }
    for url in [
        "http://api.test@127.0.0.1/",
        "http://127.0.0.1:80@api.test/",
        "http://127.0.0.1%00.test/",
        "http://127.0.0.1\r\nHost: a/",
        "http://[::1%25lo]/",
        "http://256.1.1.1/",
        "http://[::ffff:127.0.0.1/",
        "gopher://127.0.0.1:6379/",
        "file:///etc/passwd",
    ] {
        let got = ask(&rig, url).await;
        assert_eq!(got, Err("request.bad_url".to_owned()), "{url}");
    }
}

#[tokio::test]
async fn no_name_leads_to_a_hostile_address() {
    let mut rig = rig_with(egress(&[], &[]));
    rig.connect = rig.connect.looking_up_by(Names::new(HOSTILE_NAMES));
    for (name, _) in HOSTILE_NAMES {
        for url in [format!("http://{name}/"), format!("https://{name}.:8443/")] {
            let got = ask(&rig, &url).await;
            assert_eq!(got, Err("request.refused_address".to_owned()), "{url}");
        }
    }
}

#[tokio::test]
async fn harmless_addresses_pass() {
    let mut rig = rig_with(egress(&[], &[]));
    rig.connect = rig.connect.carried_by(Arc::new(Through));
    for url in HARMLESS {
        assert_eq!(ask(&rig, url).await, Ok(200), "{url}");
    }
}

/// A server on this address of loopback that answers one request a connection.
async fn listen(at: &str) -> (SocketAddr, Arc<Mutex<u32>>, JoinSet<()>) {
    let listener = tokio::net::TcpListener::bind(at).await.unwrap();
    let (at, count) = (listener.local_addr().unwrap(), Arc::new(Mutex::new(0)));
    let counter = Arc::clone(&count);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            *counter.lock().unwrap() += 1;
            let mut head = [0; 2_048];
            let _ = socket.read(&mut head).await;
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = socket.write_all(answer).await;
        }
    });
    (at, count, tasks)
}

#[tokio::test]
async fn a_name_that_changes_its_mind_is_connected_to_where_it_was_looked_at() {
    let (taken, at_taken, _one) = listen("127.0.0.2:0").await;
    let port = taken.port();
    let (_, at_inner, _two) = listen(&format!("127.0.0.1:{port}")).await;
    // The range that is allowed stands for the public internet, the rest of loopback for what is inside.
    let mut rig = rig_with(egress(&["127.0.0.2/32"], &[]));
    let names = Names::new(&[
        ("rebind.test", &["127.0.0.2"]),
        ("rebind.test", &["127.0.0.1"]),
        ("mixed.test", &["127.0.0.1", "127.0.0.2"]),
    ]);
    rig.connect = rig.connect.looking_up_by(Arc::clone(&names) as _);
    let rebind = format!("http://rebind.test:{port}/");
    assert_eq!(ask(&rig, &rebind).await, Ok(200));
    assert_eq!(names.asked(), 1, "looked up once for one connection");
    let refused = Err("request.refused_address".to_owned());
    assert_eq!(ask(&rig, &rebind).await, refused);
    assert_eq!(names.asked(), 2);
    let mixed = format!("http://mixed.test:{port}/");
    assert_eq!(
        ask(&rig, &mixed).await,
        Ok(200),
        "only what is left is tried"
    );
    assert_eq!(
        (*at_taken.lock().unwrap(), *at_inner.lock().unwrap()),
        (2, 0)
    );
}

#[tokio::test]
async fn a_server_on_all_addresses_knows_them_as_its_own() {
    // An address that the machine has, whatever range it is in: loopback stands for a public one.
    let mut rig = rig_with(ConnectOptions {
        own_addresses: vec!["0.0.0.0:7300".parse().unwrap()],
        ..egress(&[], &[])
    });
    let public = "8.8.8.8";
    rig.connect = rig.connect.carried_by(Arc::new(Through));
    let local = std::net::UdpSocket::bind("0.0.0.0:0").and_then(|socket| {
        socket.connect((public, 53))?;
        socket.local_addr()
    });
    if let Ok(local) = local {
        let got = ask(&rig, &format!("http://{}/", local.ip())).await;
        assert_eq!(got, Err("request.refused_address".to_owned()));
    }
    assert_eq!(ask(&rig, &format!("http://{public}/")).await, Ok(200));
}

#[tokio::test]
async fn only_what_is_named_may_be_reached() {
    let mut rig = rig_with(egress(
        &["127.0.0.1"],
        &["api.test", "8.8.8.0/24", "127.0.0.1:80"],
    ));
    rig.connect = rig.connect.carried_by(Arc::new(Through));
    let refused = Err("request.refused_address".to_owned());
    for (url, expect) in [
        ("https://api.test/", Ok(200)),
        ("https://api.test:8443/", Ok(200)),
        ("http://8.8.8.8/", Ok(200)),
        ("http://127.0.0.1/", Ok(200)),
        ("http://127.0.0.1:81/", refused.clone()),
        ("http://8.8.9.9/", refused.clone()),
        ("http://10.0.0.1/", refused),
    ] {
        assert_eq!(ask(&rig, url).await, expect, "{url}");
    }
}

/// A proxy that answers every request itself and remembers what it was asked.
async fn proxy() -> (SocketAddr, Arc<Mutex<Vec<String>>>, JoinSet<()>) {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let at = listener.local_addr().unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let memory = Arc::clone(&asked);
    let mut tasks = JoinSet::new();
    tasks.spawn(async move {
        loop {
            let (mut socket, _) = listener.accept().await.unwrap();
            let mut head = vec![0; 4_096];
            let read = socket.read(&mut head).await.unwrap_or(0);
            let head = String::from_utf8_lossy(&head[..read]).into_owned();
            let mut told = head.lines().next().unwrap_or_default().to_owned();
            let named = head
                .lines()
                .find(|line| line.to_lowercase().starts_with("proxy-auth"));
            told.push_str(named.map_or("", |_| " with a password"));
            memory.lock().unwrap().push(told);
            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\nconnection: close\r\n\r\n";
            let _ = socket.write_all(answer).await;
        }
    });
    (at, asked, tasks)
}

#[tokio::test]
async fn a_proxy_gets_all_but_what_is_allowed_and_nothing_that_is_not() {
    let (at, asked, _tasks) = proxy().await;
    let (inner, at_inner, _two) = listen("127.0.0.1:0").await;
    let mut options = egress(&[&inner.to_string(), "127.0.0.2/32"], &[]);
    options.egress.proxy = Some(format!("http://user:hush@{at}"));
    assert!(!format!("{options:?}").contains("hush"));
    let mut rig = rig_with(options);
    rig.connect = rig.connect.looking_up_by(Names::new(HOSTILE_NAMES));
    assert_eq!(ask(&rig, "http://api.test/a?b=1").await, Ok(200));
    assert_eq!(ask(&rig, "http://8.8.8.8/").await, Ok(200));
    // The proxy's tunnel ends in no TLS here; what counts is who was asked.
    ask(&rig, "https://api.test/secret").await.unwrap_err();
    assert_eq!(ask(&rig, &format!("http://{inner}/")).await, Ok(200));
    assert_eq!(
        *at_inner.lock().unwrap(),
        1,
        "what is allowed is reached directly"
    );
    let refused = Err("request.refused_address".to_owned());
    for url in HOSTILE {
        assert_eq!(ask(&rig, url).await, refused, "{url}");
    }
    for (name, found) in HOSTILE_NAMES.iter().filter(|(_, found)| !found.is_empty()) {
        let url = format!("http://{name}/");
        assert_eq!(ask(&rig, &url).await, refused, "{url}: {found:?}");
    }
    assert_eq!(
        *asked.lock().unwrap(),
        [
            "GET http://api.test/a?b=1 HTTP/1.1 with a password",
            "GET http://8.8.8.8/ HTTP/1.1 with a password",
            "CONNECT api.test:443 HTTP/1.1 with a password",
        ]
    );
}

#[test]
fn what_is_no_proxy_is_told() {
    for bad in ["", "proxy", "socks5://a:1", "http://"] {
        let mut options = egress(&[], &[]);
        options.egress.proxy = Some(bad.to_owned());
        let made = rig_or_not(options);
        assert_eq!(
            made,
            Err("`egress.proxy` is no `http` or `https` URL of a proxy".to_owned())
        );
    }
}
