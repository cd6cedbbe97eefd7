//! A web server on loopback for tests: answers by path, well and badly, and keeps a log.
//!
//! ```ignore
//! let site = Site::start([("/", html("<a href=/x>x</a>")), ("/x", redirect(301, "/"))]);
//! fetch(&site.url("/"));
//! assert_eq!(site.paths(), ["/"]);
//! ```
#![allow(clippy::unwrap_used, reason = "helpers of tests may fail a test")]

use std::collections::HashMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

/// What the server does when asked for a path.
#[derive(Clone, Debug)]
pub(crate) enum Answer {
    /// A whole answer with a `Content-Length`; the connection stays open.
    Whole { status: u16, headers: Vec<(String, String)>, body: Vec<u8> },
    /// These bytes as they are; the connection is closed after them.
    Raw(Vec<u8>),
    /// `head`, then `chunk` until the client is gone, `times` times at most.
    Repeat { head: Vec<u8>, chunk: Vec<u8>, times: usize, pause: Duration },
    /// The answer `then`, after a while.
    After { pause: Duration, then: Box<Answer> },
    /// This to the first request of a connection; a later one finds it closed.
    First(Box<Answer>),
    /// `first` to the first request for the path, `then` to all others.
    Once { first: Box<Answer>, then: Box<Answer> },
    /// Nothing; the connection is closed.
    Close,
    /// Nothing; the connection is held until the client gives up.
    Hang,
}

impl Answer {
    /// The same with one more header.
    pub(crate) fn with(mut self, name: &str, value: &str) -> Self {
        let Self::Whole { headers, .. } = &mut self else { panic!("only whole answers") };
        headers.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The same, later.
    pub(crate) fn after(self, pause: Duration) -> Self {
        Self::After { pause, then: Box::new(self) }
    }

    /// The same with another status.
    pub(crate) fn status(mut self, code: u16) -> Self {
        let Self::Whole { status, .. } = &mut self else { panic!("only whole answers") };
        *status = code;
        self
    }
}

/// A body without a type.
pub(crate) fn body(body: impl Into<Vec<u8>>) -> Answer {
    Answer::Whole { status: 200, headers: Vec::new(), body: body.into() }
}

/// A page.
pub(crate) fn html(page: impl Into<Vec<u8>>) -> Answer {
    body(page).with("Content-Type", "text/html; charset=utf-8")
}

/// A redirect.
pub(crate) fn redirect(status: u16, to: &str) -> Answer {
    body("moved").status(status).with("Location", to)
}

/// Bytes that are no good answer.
pub(crate) fn raw(bytes: impl Into<Vec<u8>>) -> Answer {
    Answer::Raw(bytes.into())
}

/// One request, as the server saw it.
#[derive(Clone, Debug)]
pub(crate) struct Visit {
    /// The request's target: the path and the query, or what a proxy is asked for.
    pub(crate) path: String,
    /// When its head had arrived.
    pub(crate) at: Instant,
    /// Its header lines.
    pub(crate) headers: Vec<String>,
    /// Which connection it came on, from 0 in the order of their arrival.
    pub(crate) connection: usize,
    /// The host that it asks for, without the port.
    pub(crate) host: String,
    /// This server's address that it came to.
    pub(crate) address: IpAddr,
    /// Just before the end of the answer left; none while there is more of it to come.
    pub(crate) answered: Option<Instant>,
}

/// A running server; stops when dropped.
pub(crate) struct Site {
    address: SocketAddr,
    shared: Arc<Shared>,
}

/// What to answer to a host and a path.
type Routes = Box<dyn Fn(&str, &str) -> Option<Answer> + Send + Sync>;

struct Shared {
    routes: Routes,
    visits: Mutex<Vec<Visit>>,
    connections: AtomicUsize,
    stop: AtomicBool,
}

impl Site {
    /// Starts a server with these paths on a free port; all other paths are 404.
    pub(crate) fn start<P: Into<String>>(routes: impl IntoIterator<Item = (P, Answer)>) -> Self {
        let routes: HashMap<String, Answer> =
            routes.into_iter().map(|(path, answer)| (path.into(), answer)).collect();
        Self::listen("127.0.0.1:0", Box::new(move |_, path| routes.get(path).cloned()))
    }

    /// Starts a server that answers by host name and path, on every address of loopback.
    pub(crate) fn hosts(
        routes: impl Fn(&str, &str) -> Option<Answer> + Send + Sync + 'static,
    ) -> Self {
        Self::listen("0.0.0.0:0", Box::new(routes))
    }

    fn listen(address: &str, routes: Routes) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let port = listener.local_addr().unwrap().port();
        let address = SocketAddr::from(([127, 0, 0, 1], port));
        let shared = Arc::new(Shared {
            routes,
            visits: Mutex::default(),
            connections: AtomicUsize::new(0),
            stop: AtomicBool::new(false),
        });
        let accepting = Arc::clone(&shared);
        thread::spawn(move || accept(&listener, &accepting));
        Self { address, shared }
    }

    /// The whole address of a path.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    pub(crate) fn port(&self) -> u16 {
        self.address.port()
    }

    /// All requests so far.
    pub(crate) fn visits(&self) -> Vec<Visit> {
        self.shared.visits.lock().unwrap().clone()
    }

    /// The paths of all requests so far.
    pub(crate) fn paths(&self) -> Vec<String> {
        self.visits().into_iter().map(|visit| visit.path).collect()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        // Wakes `accept`.
        let _ = TcpStream::connect(self.address);
    }
}

fn accept(listener: &TcpListener, shared: &Arc<Shared>) {
    for stream in listener.incoming() {
        if shared.stop.load(Ordering::SeqCst) {
            return;
        }
        let Ok(stream) = stream else { continue };
        let number = shared.connections.fetch_add(1, Ordering::SeqCst);
        let shared = Arc::clone(shared);
        thread::spawn(move || serve(&stream, &shared, number));
    }
}

impl Shared {
    fn add(&self, visit: Visit) -> usize {
        let mut visits = self.visits.lock().unwrap();
        visits.push(visit);
        visits.len() - 1
    }

    fn visits_of(&self, path: &str) -> usize {
        self.visits.lock().unwrap().iter().filter(|visit| visit.path == path).count()
    }
}

/// Serves one connection until either side ends it; errors mean that the client is gone.
fn serve(stream: &TcpStream, shared: &Shared, connection: usize) {
    // A test that forgets its connection must not keep its thread for ever.
    stream.set_read_timeout(Some(Duration::from_secs(30))).unwrap();
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream);
    let (mut in_tunnel, mut is_first) = (false, true);
    while let Some((method, path, headers)) = read_request(&mut reader) {
        let host = host_of(&headers);
        let address = stream.local_addr().map_or(IpAddr::from([0, 0, 0, 0]), |at| at.ip());
        let visit = Visit {
            path: path.clone(),
            at: now(),
            headers,
            connection,
            host: host.clone(),
            address,
            answered: None,
        };
        let visit_idx = shared.add(visit);
        if method == "CONNECT" && !in_tunnel {
            // As a proxy, this server answers for every host by itself.
            in_tunnel = true;
            if reader.get_mut().write_all(b"HTTP/1.1 200 OK\r\n\r\n").is_err() {
                return;
            }
            continue;
        }
        let answer = (shared.routes)(&host, &path);
        let answer = answer.unwrap_or_else(|| html("<title>nothing here</title>").status(404));
        let answer = match answer {
            Answer::First(answer) if is_first => *answer,
            Answer::Once { first, then } => {
                *if shared.visits_of(&path) == 1 { first } else { then }
            }
            other => other,
        };
        is_first = false;
        let answered = || shared.visits.lock().unwrap()[visit_idx].answered = Some(now());
        if !write_answer(stream, answer, &answered).unwrap_or(false) {
            return;
        }
    }
}

#[expect(clippy::disallowed_methods, reason = "arrival times are what tests look at")]
fn now() -> Instant {
    Instant::now()
}

fn read_request(reader: &mut impl BufRead) -> Option<(String, String, Vec<String>)> {
    let mut lines = Vec::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        match line.trim_end() {
            "" => break,
            line => lines.push(line.to_owned()),
        }
    }
    let mut words = lines.first()?.split(' ');
    let (method, path) = (words.next()?.to_owned(), words.next()?.to_owned());
    Some((method, path, lines.split_off(1)))
}

/// The host of the `Host` header, without its port.
fn host_of(headers: &[String]) -> String {
    let header = headers.iter().filter_map(|line| line.split_once(": "));
    let mut host = header.filter(|(name, _)| name.eq_ignore_ascii_case("host"));
    let host = host.next().map_or("", |(_, host)| host);
    host.rsplit_once(':').map_or(host, |(host, _)| host).to_owned()
}

/// Writes the answer, and says so before its end goes out; true if the connection stays open.
fn write_answer(
    mut stream: &TcpStream,
    answer: Answer,
    answered: &dyn Fn(),
) -> std::io::Result<bool> {
    match answer {
        Answer::Whole { status, headers, body } => {
            let mut whole = format!("HTTP/1.1 {status} Some Reason\r\n").into_bytes();
            for (name, value) in headers {
                write!(whole, "{name}: {value}\r\n")?;
            }
            write!(whole, "Content-Length: {}\r\n\r\n", body.len())?;
            whole.extend(body);
            answered();
            stream.write_all(&whole)?;
            return Ok(true);
        }
        Answer::Raw(bytes) => {
            answered();
            stream.write_all(&bytes)?;
        }
        Answer::After { pause, then } => {
            thread::sleep(pause);
            return write_answer(stream, *then, answered);
        }
        Answer::Repeat { head, chunk, times, pause } => {
            stream.write_all(&head)?;
            for _ in 0..times {
                answered();
                stream.write_all(&chunk)?;
                if !pause.is_zero() {
                    thread::sleep(pause);
                }
            }
        }
        Answer::Close | Answer::First(_) | Answer::Once { .. } => answered(),
        Answer::Hang => {
            let _ = stream.read(&mut [0]);
            answered();
        }
    }
    Ok(false)
}
