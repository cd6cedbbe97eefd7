//! Which addresses belong to nobody's public server: what a crawl must not be led to.
//!
//! By the IANA registries of special-purpose addresses (RFC 6890 and its updates), multicast
//! (RFC 5771, RFC 4291) and the addresses that carry another one inside: mapped (RFC 4291,
//! 2.5.5.2), NAT64 (RFC 6052) and 6to4 (RFC 3056).
//!
//! **Invariant:** pure; an address is public only if it is global unicast and nothing inside it
//! is anything else.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is special about an address, in a few words; `None` if it is an ordinary public one.
pub fn special(address: IpAddr) -> Option<&'static str> {
    match address {
        IpAddr::V4(address) => special_v4(address),
        IpAddr::V6(address) => special_v6(address),
    }
}

type V4 = (Ipv4Addr, u32, &'static str);

const fn v4(a: u8, b: u8, c: u8, bits: u32, what: &'static str) -> V4 {
    (Ipv4Addr::new(a, b, c, 0), bits, what)
}

/// IANA IPv4 Special-Purpose Address Registry, what is not globally reachable in it, the two
/// anycast relays of RFC 7723 and RFC 8155 with their block, and 6to4's old relay (RFC 7526).
const SPECIAL_V4: &[V4] = &[
    v4(0, 0, 0, 8, "this network"),
    v4(10, 0, 0, 8, "private"),
    v4(100, 64, 0, 10, "shared by a carrier's customers"),
    v4(127, 0, 0, 8, "loopback"),
    v4(169, 254, 0, 16, "link-local"),
    v4(172, 16, 0, 12, "private"),
    v4(192, 0, 0, 24, "for protocols"),
    v4(192, 0, 2, 24, "for documentation"),
    v4(192, 88, 99, 24, "a 6to4 relay"),
    v4(192, 168, 0, 16, "private"),
    v4(198, 18, 0, 15, "for benchmarks"),
    v4(198, 51, 100, 24, "for documentation"),
    v4(203, 0, 113, 24, "for documentation"),
    v4(224, 0, 0, 4, "multicast"),
    v4(240, 0, 0, 4, "reserved"),
];

fn special_v4(address: Ipv4Addr) -> Option<&'static str> {
    let within = |(network, bits, _): &&V4| {
        (u32::from(*network) ^ u32::from(address)).checked_shr(32 - bits) == Some(0)
    };
    SPECIAL_V4.iter().find(within).map(|&(_, _, what)| what)
}

type V6 = (Ipv6Addr, u32, &'static str);

const fn v6(start: [u16; 4], bits: u32, what: &'static str) -> V6 {
    let [a, b, c, d] = start;
    (Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0), bits, what)
}

/// IANA IPv6 Special-Purpose Address Registry. `2001::/23` is refused whole: what is reachable
/// in it (anycast services, ORCHID, drone identifiers, Teredo) serves no pages.
const SPECIAL_V6: &[V6] = &[
    (Ipv6Addr::UNSPECIFIED, 128, "unspecified"),
    (Ipv6Addr::LOCALHOST, 128, "loopback"),
    v6([0x64, 0xff9b, 1, 0], 48, "translated locally"),
    v6([0x100, 0, 0, 0], 64, "for discarding"),
    v6([0x2001, 0, 0, 0], 23, "for protocols"),
    v6([0x2001, 0xdb8, 0, 0], 32, "for documentation"),
    v6([0x3fff, 0, 0, 0], 20, "for documentation"),
    v6([0x5f00, 0, 0, 0], 16, "for segment routing"),
    v6([0xfc00, 0, 0, 0], 7, "private"),
    v6([0xfe80, 0, 0, 0], 10, "link-local"),
    v6([0xfec0, 0, 0, 0], 10, "site-local"),
    v6([0xff00, 0, 0, 0], 8, "multicast"),
];

/// Global unicast (IANA IPv6 Address Space): nothing else is given to servers.
const GLOBAL: V6 = v6([0x2000, 0, 0, 0], 3, "");

fn special_v6(address: Ipv6Addr) -> Option<&'static str> {
    if let Some(inner) = embedded(address) {
        return special_v4(inner);
    }
    let within = |(network, bits, _): &&V6| {
        (u128::from(*network) ^ u128::from(address)).checked_shr(128 - bits).unwrap_or(0) == 0
    };
    let what = SPECIAL_V6.iter().find(within).map(|&(_, _, what)| what);
    what.or_else(|| (!within(&&GLOBAL)).then_some("not assigned"))
}

/// The IPv4 address that packets to this one end up at.
fn embedded(address: Ipv6Addr) -> Option<Ipv4Addr> {
    let join = |high: u16, low: u16| Ipv4Addr::from(u32::from(high) << 16 | u32::from(low));
    match address.segments() {
        [0, 0, 0, 0, 0, 0xffff, high, low] | [0x64, 0xff9b, 0, 0, 0, 0, high, low] => {
            Some(join(high, low))
        }
        [0x2002, high, low, ..] => Some(join(high, low)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(address: &str, expected: Option<&str>) {
        assert_eq!(special(address.parse().unwrap()), expected, "{address}");
    }

    /// The first and the last address of each block are in it, their neighbours are not.
    #[test]
    fn every_special_block_is_refused_from_end_to_end() {
        for (first, last, what) in [
            ("0.0.0.0", "0.255.255.255", "this network"),
            ("10.0.0.0", "10.255.255.255", "private"),
            ("100.64.0.0", "100.127.255.255", "shared by a carrier's customers"),
            ("127.0.0.0", "127.255.255.255", "loopback"),
            ("169.254.0.0", "169.254.255.255", "link-local"),
            ("172.16.0.0", "172.31.255.255", "private"),
            ("192.0.0.0", "192.0.0.255", "for protocols"),
            ("192.0.2.0", "192.0.2.255", "for documentation"),
            ("192.88.99.0", "192.88.99.255", "a 6to4 relay"),
            ("192.168.0.0", "192.168.255.255", "private"),
            ("198.18.0.0", "198.19.255.255", "for benchmarks"),
            ("198.51.100.0", "198.51.100.255", "for documentation"),
            ("203.0.113.0", "203.0.113.255", "for documentation"),
            ("224.0.0.0", "239.255.255.255", "multicast"),
            ("240.0.0.0", "255.255.255.255", "reserved"),
            ("::", "::", "unspecified"),
            ("::1", "::1", "loopback"),
            ("64:ff9b:1::", "64:ff9b:1:ffff:ffff:ffff:ffff:ffff", "translated locally"),
            ("100::", "100::ffff:ffff:ffff:ffff", "for discarding"),
            ("2001::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff", "for protocols"),
            ("2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff", "for documentation"),
            ("3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff", "for documentation"),
            ("5f00::", "5f00:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "for segment routing"),
            ("fc00::", "fdff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "private"),
            ("fe80::", "febf:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "link-local"),
            ("fec0::", "feff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "site-local"),
            ("ff00::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff", "multicast"),
        ] {
            for address in [first, last] {
                check(address, Some(what));
            }
        }
    }

    #[test]
    fn the_neighbours_of_special_blocks_are_public() {
        for address in [
            "1.0.0.0",
            "9.255.255.255",
            "11.0.0.0",
            "100.63.255.255",
            "100.128.0.0",
            "126.255.255.255",
            "128.0.0.0",
            "169.253.255.255",
            "169.255.0.0",
            "172.15.255.255",
            "172.32.0.0",
            "191.255.255.255",
            "192.0.1.0",
            "192.0.3.0",
            "192.88.98.255",
            "192.88.100.0",
            "192.167.255.255",
            "192.169.0.0",
            "198.17.255.255",
            "198.20.0.0",
            "198.51.99.255",
            "198.51.101.0",
            "203.0.112.255",
            "203.0.114.0",
            "223.255.255.255",
            "2001:200::",
            "2001:db7:ffff:ffff:ffff:ffff:ffff:ffff",
            "2001:db9::",
            "2606:4700::1111",
            "3ffe:ffff:ffff:ffff:ffff:ffff:ffff:ffff",
            "3fff:1000::",
        ] {
            check(address, None);
        }
        // Outside of what is given out at all.
        for address in ["100:0:0:1::", "200::", "1fff:ffff::", "4000::", "::8.8.8.8", "::2"] {
            check(address, Some("not assigned"));
        }
    }

    #[test]
    fn an_address_inside_another_decides() {
        for inner in ["127.0.0.1", "10.1.2.3", "169.254.169.254", "0.0.0.0", "255.255.255.255"] {
            let expected = special(inner.parse().unwrap());
            assert!(expected.is_some());
            check(&format!("::ffff:{inner}"), expected);
            check(&format!("64:ff9b::{inner}"), expected);
            let [a, b, c, d] = inner.parse::<Ipv4Addr>().unwrap().octets();
            check(&format!("2002:{a:02x}{b:02x}:{c:02x}{d:02x}::1"), expected);
        }
        for address in ["::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"] {
            check(address, None);
        }
    }
}
