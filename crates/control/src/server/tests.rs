use std::io::{Read, Write};
use std::os::unix::net::UnixStream as Stream;

use super::*;
use crate::client::{ClientError, ask};

fn directory() -> tempfile::TempDir {
    tempfile::tempdir().unwrap()
}

async fn asked(path: &Path, request: Request) -> Result<Reply, ClientError> {
    let path = path.to_owned();
    tokio::task::spawn_blocking(move || ask(&path, &request))
        .await
        .unwrap()
}

async fn raw(path: &Path, octets: Vec<u8>) -> String {
    let path = path.to_owned();
    let talk = move || {
        let mut stream = Stream::connect(path).unwrap();
        // The server may hang up before all is written: that is an answer too.
        let _ = stream.write_all(&octets);
        let mut reply = String::new();
        let _ = stream.read_to_string(&mut reply);
        reply
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

async fn echo(request: Request) -> Reply {
    match request {
        Request::Bind { name } => Reply::done(name),
        Request::Status | Request::Release { .. } | Request::Revoke { .. } => Reply::failed("no"),
    }
}

#[tokio::test]
async fn answers_several_clients_and_refuses_rubbish() {
    let directory = directory();
    let path = directory.path().join("made/control.sock");
    let server = Server::bind(&path).unwrap();
    let mode = std::fs::metadata(&path).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o660);
    let running = tokio::spawn(server.serve(echo));

    for name in ["server.com", "other.example"] {
        let reply = asked(
            &path,
            Request::Bind {
                name: name.to_owned(),
            },
        )
        .await
        .unwrap();
        assert_eq!(reply, Reply::done(name));
    }
    assert_eq!(
        asked(&path, Request::Status).await.unwrap(),
        Reply::failed("no")
    );

    let reply = raw(
        &path,
        b"{\"bind\":{\"name\":\"a\",\"force\":true}}\n".to_vec(),
    )
    .await;
    assert!(
        reply.contains("not a request") && reply.contains("force"),
        "{reply}"
    );
    let reply = raw(&path, vec![b'x'; MAXIMUM_REQUEST + 1]).await;
    assert!(
        reply.is_empty() || reply.contains("at most 4096 octets"),
        "{reply}"
    );

    running.abort();
    let _ = running.await;
    assert!(!path.exists(), "the socket is removed");
    assert!(matches!(
        asked(&path, Request::Status).await,
        Err(ClientError::NotRunning(_))
    ));
}

#[tokio::test]
async fn replaces_a_stale_socket_but_neither_a_live_one_nor_a_file() {
    let directory = directory();
    let path = directory.path().join("control.sock");
    drop(std::os::unix::net::UnixListener::bind(&path).unwrap());
    assert!(matches!(
        asked(&path, Request::Status).await,
        Err(ClientError::NotRunning(_))
    ));
    let server = Server::bind(&path).unwrap();
    assert!(matches!(
        Server::bind(&path),
        Err(ServerError::AlreadyRunning(_))
    ));
    drop(server);

    std::fs::write(&path, "precious").unwrap();
    assert!(matches!(
        Server::bind(&path),
        Err(ServerError::NotASocket(_))
    ));
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "precious");
}

#[tokio::test]
async fn a_queue_carries_requests_to_one_loop() {
    let directory = directory();
    let path = directory.path().join("control.sock");
    let (handler, mut requests) = queue(4);
    let running = tokio::spawn(Server::bind(&path).unwrap().serve(handler));
    let client = tokio::spawn({
        let path = path.clone();
        async move { asked(&path, Request::Status).await }
    });
    let first = requests.recv().await.unwrap();
    assert_eq!(first.request, Request::Status);
    first.reply.send(Reply::done("here")).unwrap();
    assert_eq!(client.await.unwrap().unwrap(), Reply::done("here"));

    drop(requests);
    let reply = asked(&path, Request::Status).await.unwrap();
    assert_eq!(reply, Reply::failed("the daemon is stopping"));
    running.abort();
}

#[tokio::test(start_paused = true)]
async fn a_silent_client_is_sent_away() {
    let (client, server) = UnixStream::pair().unwrap();
    converse(server, &echo).await.unwrap();
    let mut reply = String::new();
    BufReader::new(client).read_line(&mut reply).await.unwrap();
    assert!(reply.contains("no request came"), "{reply}");
}
