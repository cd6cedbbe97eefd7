//! The integration tests.

mod fetch; // the kind `fetch` against a server on loopback
mod site; // that server
