//! Addresses of hosts, remembered for a while.
//!
//! A client asks for a host's addresses at every request, also on an open connection, and the
//! system's resolver remembers nothing.
//!
//! **Invariant:** at most [`CAPACITY`] hosts are remembered; the clock is the caller's.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// How long addresses are used. The system's resolver tells no time to live.
const FOUND: Duration = Duration::from_secs(300);

/// How long a failure is believed.
const FAILED: Duration = Duration::from_secs(60);

const CAPACITY: usize = 10_000;

/// A host's addresses, or why it has none.
pub(super) type Answer = Result<Vec<IpAddr>, String>;

/// What is known of hosts.
#[derive(Debug, Default)]
pub(super) struct Cache {
    hosts: Mutex<HashMap<String, (Instant, Answer)>>,
}

impl Cache {
    /// The answer for `host`: the remembered one, or what `look_up` says, which may block and
    /// holds up nobody else.
    pub(super) fn get(&self, host: &str, now: Instant, look_up: impl FnOnce() -> Answer) -> Answer {
        if let Some((until, answer)) = self.lock().get(host)
            && *until > now
        {
            return answer.clone();
        }
        let answer = look_up();
        let until = now + if answer.is_ok() { FOUND } else { FAILED };
        let mut hosts = self.lock();
        if hosts.len() >= CAPACITY {
            hosts.retain(|_, (until, _)| *until > now);
        }
        if hosts.len() >= CAPACITY {
            hosts.clear();
        }
        hosts.insert(host.to_owned(), (until, answer.clone()));
        answer
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, HashMap<String, (Instant, Answer)>> {
        // A panic cannot leave the map half changed in a way that matters.
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[expect(clippy::disallowed_methods, reason = "an Instant cannot be made otherwise")]
    fn clock() -> Instant {
        Instant::now()
    }

    #[test]
    fn answers_are_remembered_for_their_time() {
        let cache = Cache::default();
        let start = clock();
        let mut look_ups = 0;
        let mut ask = |host: &str, seconds: u64, answer: Answer| {
            let now = start + Duration::from_secs(seconds);
            let answer = cache.get(host, now, || {
                look_ups += 1;
                answer
            });
            (answer, look_ups)
        };
        let found = || Ok(vec![IpAddr::from([192, 0, 2, 1])]);
        let failed = || Err("no such host".to_owned());
        assert_eq!(ask("a", 0, found()), (found(), 1));
        assert_eq!(ask("a", 299, failed()), (found(), 1));
        assert_eq!(ask("b", 299, failed()), (failed(), 2));
        assert_eq!(ask("b", 358, found()), (failed(), 2));
        assert_eq!(ask("b", 359, found()), (found(), 3));
        assert_eq!(ask("a", 300, failed()), (failed(), 4));
    }

    #[test]
    fn no_more_hosts_are_kept_than_there_is_room_for() {
        let cache = Cache::default();
        let now = clock();
        for host in 0..CAPACITY + 10 {
            cache.get(&host.to_string(), now, || Ok(Vec::new())).unwrap();
        }
        assert!(cache.lock().len() <= CAPACITY);
    }
}
