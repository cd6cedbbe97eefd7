//! What the attempt to fetch a robots.txt means (RFC 9309, 2.3.1).

use std::time::Duration;

/// How long a robots.txt, or its absence, may be relied on (2.4).
pub const MAX_AGE: Duration = Duration::from_secs(24 * 3600);

/// How many redirects are followed, to other hosts too (2.3.1.2). The rules that are found hold
/// for the host that was asked first.
pub const MAX_REDIRECTS: u32 = 5;

/// What the attempt to fetch a robots.txt means.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Availability {
    /// The body is to be parsed and obeyed.
    Available,
    /// The redirect is to be followed.
    Redirected,
    /// There is none: everything is allowed. With the reason.
    Unavailable(String),
    /// Whether there is one cannot be known now: nothing is allowed until a later attempt. With
    /// the reason.
    Unreachable(String),
}

impl Availability {
    /// What a status means, where `can_follow` says whether a redirect names a place that may be
    /// fetched and at most [`MAX_REDIRECTS`] have been followed with this one.
    ///
    /// - 2xx: available. 301, 302, 303, 307 and 308: redirected.
    /// - Any other 3xx, a redirect that leads nowhere, and the sixth redirect: unavailable.
    /// - 4xx, 401 and 403 too: unavailable. 429 is not about the file: the server asks for fewer
    ///   requests, so it counts as unreachable, and everything waits.
    /// - 5xx, and what is no status of HTTP: unreachable.
    pub fn of_status(status: u16, can_follow: bool) -> Self {
        let reason = || format!("robots.txt: status {status}");
        match status {
            200..=299 => Self::Available,
            301..=303 | 307 | 308 if can_follow => Self::Redirected,
            429 => Self::Unreachable(reason()),
            300..=499 => Self::Unavailable(reason()),
            _ => Self::Unreachable(reason()),
        }
    }

    /// What it means that there was no answer: the name, the network, TLS or the time failed.
    pub fn of_failure(message: &str) -> Self {
        Self::Unreachable(format!("robots.txt: {message}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::web::robots::Robots;

    #[track_caller]
    fn check(status: u16, can_follow: bool, expected: &str) {
        let availability = Availability::of_status(status, can_follow);
        let Some(robots) = Robots::without_file(&availability) else {
            assert_eq!(format!("{availability:?}"), expected, "{status}");
            return;
        };
        let decision = robots.decide("/a?b");
        let verdict = if decision.allowed { "allowed" } else { "denied" };
        assert_eq!(format!("{verdict}, {}", robots.reason(decision)), expected);
        assert!(robots.decide("/robots.txt").allowed);
        assert!(robots.memory() < 100);
    }

    #[test]
    fn each_status_means_what_the_rfc_says() {
        for status in [200, 203, 204, 206, 299] {
            check(status, false, "Available");
        }
        for status in [301, 302, 303, 307, 308] {
            check(status, true, "Redirected");
            check(status, false, &format!("allowed, robots.txt: status {status}"));
        }
        for status in [300, 304, 305, 400, 401, 403, 404, 410, 418, 451, 499] {
            check(status, true, &format!("allowed, robots.txt: status {status}"));
        }
        for status in [429, 500, 502, 503, 504, 599, 100, 0, 600, 999] {
            check(status, true, &format!("denied, robots.txt: status {status}"));
        }
    }

    #[test]
    fn without_an_answer_nothing_is_allowed() {
        let availability = Availability::of_failure("connection refused");
        let robots = Robots::without_file(&availability).unwrap();
        let decision = robots.decide("/");
        assert!(!decision.allowed && decision.line.is_none());
        assert_eq!(robots.reason(decision), "robots.txt: connection refused");
    }
}
