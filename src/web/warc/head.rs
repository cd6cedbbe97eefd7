//! What is changed of the heads that were sent and received, and nothing else is.

use std::borrow::Cow;

/// A request's head without what gives access.
pub(super) fn request(head: &[u8]) -> Cow<'_, [u8]> {
    let is_secret = |line: &[u8]| named(line, &["authorization", "proxy-authorization", "cookie"]);
    if !head.split_inclusive(|&byte| byte == b'\n').any(is_secret) {
        return Cow::Borrowed(head);
    }
    let lines = head.split_inclusive(|&byte| byte == b'\n').filter(|line| !is_secret(line));
    Cow::Owned(lines.flatten().copied().collect())
}

/// A response's head before a body of `length` bytes that has no transfer coding any more.
pub(super) fn response(head: &[u8], length: usize) -> Cow<'_, [u8]> {
    let lines = || head.split_inclusive(|&byte| byte == b'\n');
    if !lines().any(|line| named(line, &["transfer-encoding"])) {
        return Cow::Borrowed(head);
    }
    let mut changed = Vec::with_capacity(head.len() + 64);
    for line in lines() {
        if matches!(line, b"\r\n" | b"\n") {
            changed.extend_from_slice(format!("Content-Length: {length}\r\n").as_bytes());
        } else if named(line, &["transfer-encoding", "content-length"]) {
            changed.extend_from_slice(b"X-Crawler-");
        }
        changed.extend_from_slice(line);
    }
    Cow::Owned(changed)
}

/// Whether a header line has one of these names, written in lower case.
fn named(line: &[u8], names: &[&str]) -> bool {
    let colon = line.iter().position(|&byte| byte == b':');
    let name = line[..colon.unwrap_or(0)].trim_ascii();
    names.iter().any(|wanted| name.eq_ignore_ascii_case(wanted.as_bytes()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(head: &[u8]) -> String {
        String::from_utf8_lossy(head).into_owned()
    }

    #[test]
    fn a_transfer_coding_is_named_but_no_longer_claimed() {
        for (head, expected) in [
            ("HTTP/1.1 200 OK\r\nA: b\r\n\r\n", "HTTP/1.1 200 OK\r\nA: b\r\n\r\n"),
            (
                "HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\nA: b\r\nContent-Length: 7\r\n\r\n",
                "HTTP/1.1 200 OK\r\nX-Crawler-transfer-encoding: chunked\r\nA: b\r\n\
                X-Crawler-Content-Length: 7\r\nContent-Length: 12\r\n\r\n",
            ),
            (
                "HTTP/1.1 200 OK\nTransfer-Encoding : chunked\n\n",
                "HTTP/1.1 200 OK\nX-Crawler-Transfer-Encoding : chunked\nContent-Length: 12\r\n\n",
            ),
        ] {
            assert_eq!(text(&response(head.as_bytes(), 12)), expected);
        }
    }

    #[test]
    fn credentials_are_left_out() {
        let head = "GET / HTTP/1.1\r\nHost: h\r\nAuthorization: Basic eA==\r\ncookie: a=b\r\n\r\n";
        assert_eq!(text(&request(head.as_bytes())), "GET / HTTP/1.1\r\nHost: h\r\n\r\n");
        let plain = b"GET /?cookie: HTTP/1.1\r\nHost: h\r\n\r\n";
        assert!(matches!(request(plain), Cow::Borrowed(_)));
    }
}
