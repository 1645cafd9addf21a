//! Mail, webhooks and short messages over TLS, with certificates of an authority that only the test knows.

use std::{path::PathBuf, sync::Arc};

use coffer::{config::Config, testing::Instance};
use rcgen::{BasicConstraints, CertificateParams, IsCa, Issuer, KeyPair};
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::{
    io::{AsyncBufReadExt as _, AsyncRead, AsyncWrite, AsyncWriteExt as _, BufReader, copy_bidirectional},
    net::{TcpListener, TcpStream},
};
use tokio_rustls::{
    TlsAcceptor,
    rustls::{ServerConfig, crypto::ring, pki_types::PrivateKeyDer},
};

use crate::mail::{Manner, Server};

/// A certificate authority.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    folder: TempDir,
}

impl Authority {
    pub fn new() -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(rcgen::DnType::CommonName, "An authority of the premises");
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Authority { issuer: Issuer::new(params, key), folder }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// Speaks TLS as whoever has this name.
    pub fn acceptor(&self, name: &str) -> TlsAcceptor {
        let key = KeyPair::generate().unwrap();
        let params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let config = config.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        TlsAcceptor::from(Arc::new(config.with_single_cert(vec![certificate.der().clone()], key).unwrap()))
    }
}

/// When a connection becomes TLS.
#[derive(Clone, Copy, PartialEq)]
enum Begins {
    AtOnce,
    /// After SMTP's STARTTLS.
    WhenAsked,
}

/// Takes connections over TLS and hands what it hears to a port that speaks none. Its own port.
async fn front(acceptor: TlsAcceptor, begins: Begins, behind: u16) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move {
        while let Ok((socket, _)) = listener.accept().await {
            let acceptor = acceptor.clone();
            tokio::spawn(async move { pass_on(socket, &acceptor, begins, behind).await });
        }
    });
    port
}

async fn pass_on(socket: TcpStream, acceptor: &TlsAcceptor, begins: Begins, behind: u16) -> Option<()> {
    let mut server = BufReader::new(TcpStream::connect(("127.0.0.1", behind)).await.ok()?);
    let socket = if begins == Begins::WhenAsked {
        server.read_line(&mut String::new()).await.ok()?; // Its greeting: given already.
        until_asked(socket).await?
    } else {
        socket
    };
    let mut client = acceptor.accept(socket).await.ok()?;
    relay(&mut client, &mut server).await
}

async fn relay(
    client: &mut (impl AsyncRead + AsyncWrite + Unpin),
    server: &mut (impl AsyncRead + AsyncWrite + Unpin),
) -> Option<()> {
    copy_bidirectional(client, server).await.ok().map(drop)
}

/// SMTP without TLS: nothing is taken before STARTTLS.
async fn until_asked(socket: TcpStream) -> Option<TcpStream> {
    let mut lines = BufReader::new(socket);
    lines.get_mut().write_all(b"220 test\r\n").await.ok()?;
    loop {
        let mut line = String::new();
        if lines.read_line(&mut line).await.ok()? == 0 {
            return None;
        }
        let word = line.trim().to_ascii_uppercase();
        let answer = match word.split(' ').next().unwrap_or_default() {
            "EHLO" => "250-test\r\n250 STARTTLS\r\n",
            "STARTTLS" => "220 go on\r\n",
            _ => "530 not like this\r\n",
        };
        lines.get_mut().write_all(answer.as_bytes()).await.ok()?;
        if word == "STARTTLS" {
            return Some(lines.into_inner());
        }
    }
}

async fn with(change: impl FnOnce(&mut Config)) -> Instance {
    Instance::builder().configure(change).start().await
}

async fn register(coffer: &Instance) {
    let ann = json!({ "email": "ann@example.com", "first_name": "Ann", "last_name": "Lee" });
    coffer.key().post("/users", ann).await.expect(201);
    coffer.settle().await;
}

async fn first(coffer: &Instance, list: &str) -> Value {
    coffer.key().get(list).await.expect(200).body["data"][0].clone()
}

#[tokio::test]
async fn mail_goes_over_tls_to_whom_the_authority_vouches_for_and_to_nobody_else() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    for (scheme, begins) in [("smtps", Begins::AtOnce), ("smtp", Begins::WhenAsked)] {
        for (who, name, believed, why) in [
            (&authority, "127.0.0.1", true, ""),
            (&stranger, "127.0.0.1", false, "invalid peer certificate"),
            (&authority, "127.0.0.2", false, "invalid peer certificate"),
        ] {
            let server = Server::start(Manner::Takes).await;
            let port = front(who.acceptor(name), begins, server.port).await;
            let coffer = with(|config| {
                config.mail.servers = vec![format!("{scheme}://127.0.0.1:{port}").parse().unwrap()];
                config.mail.ca_file = Some(authority.file());
            })
            .await;
            register(&coffer).await;
            assert_eq!(server.seen().len(), usize::from(believed), "{scheme} {name}");
            let sent = first(&coffer, "/notification-outbox").await;
            let status = if believed { "sent" } else { "pending" };
            assert_eq!(sent["status"], status, "{sent:#}");
            let error = sent["error"].as_str().unwrap_or_default();
            assert!(error.to_lowercase().contains(&why.to_lowercase()), "{scheme} {name}: {error}");
        }
    }
}

#[tokio::test]
async fn a_server_that_offers_no_tls_gets_no_mail() {
    let server = Server::start(Manner::Takes).await;
    let url = format!("smtp://127.0.0.1:{}", server.port);
    let coffer = with(|config| config.mail.servers = vec![url.parse().unwrap()]).await;
    register(&coffer).await;
    assert_eq!(server.seen().len(), 0);
    assert_eq!(first(&coffer, "/notification-outbox").await["status"], "pending");
}

#[tokio::test]
async fn webhooks_go_over_tls_to_whom_the_authority_vouches_for_and_to_nobody_else() {
    let (authority, stranger) = (Authority::new(), Authority::new());
    let coffer = with(|config| config.webhooks.ca_file = Some(authority.file())).await;
    let behind = coffer.webhooks().port();
    coffer.names().set("hooks.test", &["127.0.0.1".parse().unwrap()]);
    for (who, name, path, believed) in [
        (&authority, "hooks.test", "/good", true),
        (&stranger, "hooks.test", "/stranger", false),
        (&authority, "other.test", "/other", false),
    ] {
        let port = front(who.acceptor(name), Begins::AtOnce, behind).await;
        let url = format!("https://hooks.test:{port}{path}");
        let body = json!({ "url": url, "event_types": ["user.registered"] });
        let made = coffer.key().post("/webhook-endpoints", body).await.expect(201);
        let test = format!("/webhook-endpoints/{}/test", made.id());
        coffer.key().post(&test, json!({})).await.expect(202);
        coffer.settle().await;
        assert_eq!(coffer.webhooks().at(path).len(), usize::from(believed), "{path}");
        let log = first(&coffer, &format!("/webhook-deliveries?endpoint_id={}", made.id())).await;
        let error = log["error"].as_str().unwrap_or_default();
        assert_eq!(error.contains("certificate"), !believed, "{path}: {error}");
    }
}

#[tokio::test]
async fn short_messages_go_over_tls_too() {
    let authority = Authority::new();
    let provider = coffer::testing::Recorder::start();
    let port = front(authority.acceptor("127.0.0.1"), Begins::AtOnce, provider.port()).await;
    for trusts in [true, false] {
        let coffer = with(|config| {
            config.sms.url = Some(format!("https://127.0.0.1:{port}/sms"));
            config.sms.ca_file = trusts.then(|| authority.file());
        })
        .await;
        crate::sms::tell_by_sms(&coffer).await;
        assert_eq!(provider.take().len(), usize::from(trusts));
    }
}
