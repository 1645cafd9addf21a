use std::net::{Ipv4Addr, SocketAddr};

use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpListener,
    sync::mpsc,
};

use super::*;

fn strict() -> Net {
    Net::new(Policy::default())
}

fn with_loopback() -> (Net, Names) {
    let net = Net::new(Policy { allow: vec!["127.0.0.0/8".parse().unwrap()] });
    let names = Names::default();
    net.resolve_with(names.clone());
    (net, names)
}

fn get(url: impl Into<String>) -> Outgoing {
    Outgoing {
        method: Method::GET,
        url: url.into(),
        headers: HeaderMap::new(),
        body: vec![],
        timeout: Duration::from_secs(5),
        most_bytes: 16,
    }
}

/// Answers every connection with these bytes; what it read goes into the channel.
async fn server(answer: &'static [u8]) -> (SocketAddr, mpsc::UnboundedReceiver<Vec<u8>>) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let mut read = vec![0; 4096];
            let count = stream.read(&mut read).await.unwrap_or(0);
            read.truncate(count);
            let _ = sender.send(read);
            let _ = stream.write_all(answer).await;
        }
    });
    (address, receiver)
}

/// Addresses that lead inside, however they are spelt.
const SPELLINGS: &[&str] = &[
    "https://127.0.0.1/",
    "https://127.1/",
    "https://127.0.1/",
    "https://2130706433/",
    "https://0x7f000001/",
    "https://0x7f.1/",
    "https://0x7f.0x0.0x0.0x1/",
    "https://0177.0.0.1/",
    "https://017700000001/",
    "https://0/",
    "https://0.0.0.0/",
    "https://127.0.0.1./",
    "https://%31%32%37.0.0.1/",
    "https://127。0。0。1/",
    "https://①②⑦.⓪.⓪.①/",
    "https://１２７.0.0.1/",
    "https://10.0.0.1/",
    "https://172.16.5.4/",
    "https://192.168.1.1/",
    "https://169.254.169.254/latest/meta-data/",
    "https://2852039166/",
    "https://0xa9fea9fe/",
    "https://100.64.0.1/",
    "https://192.0.2.1/",
    "https://198.18.0.1/",
    "https://198.51.100.7/",
    "https://203.0.113.7/",
    "https://224.0.0.1/",
    "https://255.255.255.255/",
    "https://[::1]/",
    "https://[::]/",
    "https://[0:0:0:0:0:0:0:1]/",
    "https://[::ffff:127.0.0.1]/",
    "https://[::ffff:7f00:1]/",
    "https://[::127.0.0.1]/",
    "https://[64:ff9b::127.0.0.1]/",
    "https://[64:ff9b:1::8.8.8.8]/",
    "https://[2002:7f00:1::]/",
    "https://[2001:0:4136:e378:8000:63bf:3fff:fdd2]/",
    "https://[fe80::1]/",
    "https://[fec0::1]/",
    "https://[fd12:3456::1]/",
    "https://[ff02::1]/",
    "https://[2001:db8::1]/",
    "https://[3fff::1]/",
    "https://[100::1]/",
    "https://127.0.0.1:8080/",
    "https:127.0.0.1",
    "https:\\\\127.0.0.1\\",
    "  https://127.0.0.1/",
    "https://127.0.0.1#@hooks.example.com/",
    "https://127.0.0.1?@hooks.example.com/",
];

#[tokio::test]
async fn every_spelling_of_a_private_address_is_refused_when_it_is_said_and_when_it_is_asked() {
    for url in SPELLINGS {
        let refused = strict().vet(url);
        assert!(matches!(refused, Err(Forbidden::Address(_) | Forbidden::Url)), "{url}: {refused:?}");
        // One that was stored when more was allowed.
        let refused = strict().send(get(*url)).await;
        assert!(matches!(refused, Err(NetError::Forbidden(_))), "{url}: {refused:?}");
    }
}

#[test]
fn what_is_no_plain_https_url_is_refused() {
    for (url, why) in [
        ("", Forbidden::Url),
        ("hooks.example.com", Forbidden::Url),
        ("/hooks", Forbidden::Url),
        ("https://", Forbidden::Url),
        ("https://256.1.1.1/", Forbidden::Url),
        ("http://hooks.example.com/", Forbidden::Scheme),
        ("http://8.8.8.8/", Forbidden::Scheme),
        ("ftp://hooks.example.com/", Forbidden::Scheme),
        ("file:///etc/passwd", Forbidden::Scheme),
        ("gopher://127.0.0.1:25/", Forbidden::Scheme),
        ("javascript:alert(1)", Forbidden::Scheme),
        ("https://user@hooks.example.com/", Forbidden::Credentials),
        ("https://:word@hooks.example.com/", Forbidden::Credentials),
    ] {
        assert_eq!(strict().vet(url), Err(why), "{url}");
    }
    let vetted = strict().vet("https://Hooks.Example.com:443/a/../b?c=1").unwrap();
    assert_eq!(vetted.to_string(), "https://hooks.example.com/b?c=1");
    strict().vet("https://8.8.8.8/").unwrap();
    strict().vet("https://[2a00:1450:4001:82b::200e]/").unwrap();
}

#[test]
fn without_tls_only_named_networks_are_reached() {
    let (net, _) = with_loopback();
    net.vet("http://127.0.0.1:9/").unwrap();
    net.vet("http://hooks.internal/").expect("its addresses decide");
    assert_eq!(net.vet("http://8.8.8.8/"), Err(Forbidden::Scheme));
    assert_eq!(net.vet("http://10.0.0.1/"), Err(Forbidden::Address([10, 0, 0, 1].into())));
}

#[tokio::test]
async fn a_name_is_vetted_each_time_and_one_bad_address_spoils_it() {
    let (net, names) = with_loopback();
    let (address, mut requests) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok").await;
    let url = format!("http://hooks.test:{}/", address.port());
    let local: IpAddr = [127, 0, 0, 1].into();
    let private: IpAddr = [10, 0, 0, 1].into();
    let public: IpAddr = [8, 8, 8, 8].into();

    assert!(matches!(net.send(get(&url)).await, Err(NetError::Unresolved(..))));
    names.set("hooks.test", &[local]);
    assert_eq!(net.send(get(&url)).await.unwrap().body, b"ok");
    assert!(requests.recv().await.unwrap().starts_with(b"GET / HTTP/1.1\r\n"));

    // It changed its mind: the connection made before is not used again, and nothing is sent.
    let forbidden = Err(NetError::Forbidden(Forbidden::Name("hooks.test".into())));
    for changed in [vec![private], vec![local, private], vec![local, public], vec!["::1".parse().unwrap()]] {
        names.set("hooks.test", &changed);
        assert_eq!(net.send(get(&url)).await.map(|it| it.status), forbidden.clone(), "{changed:?}");
        assert_eq!(net.look_up(&net.vet(&url).unwrap()).await.map(|()| StatusCode::OK), forbidden);
    }
    names.set("hooks.test", &[]);
    assert!(matches!(net.send(get(&url)).await, Err(NetError::Unresolved(..))));
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn a_redirect_is_an_answer() {
    let (net, _) = with_loopback();
    let to_itself =
        b"HTTP/1.1 307 Temporary Redirect\r\nlocation: http://169.254.169.254/\r\ncontent-length: 0\r\n\r\n";
    let (address, mut requests) = server(to_itself).await;
    let answer = net.send(get(format!("http://{address}/"))).await.unwrap();
    assert_eq!(answer.status, StatusCode::TEMPORARY_REDIRECT);
    requests.recv().await.unwrap();
    assert!(requests.try_recv().is_err());
}

#[tokio::test]
async fn only_the_beginning_of_an_answer_is_read() {
    let (net, _) = with_loopback();
    let (address, _requests) =
        server(b"HTTP/1.1 200 OK\r\ncontent-length: 1000000\r\n\r\n0123456789abcdefghij").await;
    let answer = net.send(get(format!("http://{address}/"))).await.unwrap();
    assert_eq!(answer.body, b"0123456789abcdef");
}

#[tokio::test]
async fn whoever_does_not_answer_in_time_is_given_up() {
    let (net, _) = with_loopback();
    let (address, _requests) = server(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\n").await;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.unwrap();
    let silent = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let mut open = vec![];
        while let Ok((stream, _)) = listener.accept().await {
            open.push(stream);
        }
    });
    let timeout = Duration::from_millis(200);
    let sent = net.send(Outgoing { timeout, ..get(format!("http://{silent}/")) }).await;
    assert_eq!(sent.map(|it| it.status), Err(NetError::TimedOut(timeout)));
    let broken_off = net.send(get(format!("http://{address}/"))).await;
    assert!(matches!(broken_off, Err(NetError::Failed(_))), "{broken_off:?}");
}

#[tokio::test]
async fn tls_is_spoken_to_the_vetted_address_in_the_name_of_the_url() {
    let (net, names) = with_loopback();
    let (address, mut requests) = server(b"no tls").await;
    names.set("hooks.test", &[[127, 0, 0, 1].into()]);
    let refused = net.send(get(format!("https://hooks.test:{}/", address.port()))).await;
    assert!(matches!(refused, Err(NetError::Failed(_))), "{refused:?}");
    let hello = requests.recv().await.unwrap();
    assert_eq!(hello[..2], [0x16, 3], "a TLS handshake");
    assert!(hello.windows(10).any(|it| it == b"hooks.test"), "the name is asked for");
}
