//! Where redirects lead, and when they lead nowhere.
//!
//! **Invariant:** pure; an address is never visited twice, and only http and https ever are.

use std::time::{Duration, Instant};

use url::Url;

use super::{Error, Failure};

/// The way from the address that was asked for to the one that answers.
pub(super) struct Trail {
    /// Where the trail is now, without a fragment.
    pub(super) url: Url,
    visited: Vec<Url>,
    /// When it began.
    pub(super) start: Instant,
    /// How long the whole way may take.
    pub(super) timeout: Duration,
}

impl Trail {
    pub(super) fn new(url: &Url, start: Instant, timeout: Duration) -> Self {
        let mut url = url.clone();
        url.set_fragment(None);
        Self { url, visited: Vec::new(), start, timeout }
    }

    /// An error that says where it happened, unless that is where the trail began.
    pub(super) fn locate(&self, mut error: Error) -> Error {
        if !self.visited.is_empty() {
            error.message = format!("{} (redirected to `{}`)", error.message, self.url);
        }
        error
    }

    /// How many redirects were followed.
    pub(super) fn redirects(&self) -> u32 {
        u32::try_from(self.visited.len()).unwrap_or(u32::MAX)
    }

    /// Goes on to where a `Location` header leads.
    pub(super) fn follow(&mut self, location: &str, limit: u32) -> Result<(), Error> {
        if self.redirects() >= limit {
            let message = format!("more than {limit} redirects (`redirects`): to `{location}`");
            return Err(Error::new(Failure::Http, message));
        }
        let target = redirect_target(&self.url, location)?;
        self.visited.push(std::mem::replace(&mut self.url, target));
        if self.visited.contains(&self.url) {
            let message = format!("redirects lead in a circle, back to `{}`", self.url);
            return Err(Error::new(Failure::Http, message));
        }
        Ok(())
    }
}

fn redirect_target(from: &Url, location: &str) -> Result<Url, Error> {
    let wrong = |what: &str| {
        Error::new(Failure::Http, format!("redirect from `{from}` to `{location}`, which {what}"))
    };
    let mut target = from.join(location).map_err(|_| wrong("is no address"))?;
    if !matches!(target.scheme(), "http" | "https") {
        return Err(wrong("is neither http nor https"));
    }
    target.set_fragment(None);
    Ok(target)
}
