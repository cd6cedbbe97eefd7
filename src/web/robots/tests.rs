//! The cases of RFC 9309, section by section, and what hosts serve in place of a robots.txt.

#![allow(
    clippy::format_push_string,
    clippy::format_collect,
    reason = "a short text, made once: what reads best is best"
)]

use super::*;

/// Asks `expected`, words such as `+/a` (allowed), `-3/b` (denied by line 3) or `+0/c` (allowed
/// without a rule).
#[track_caller]
fn check(file: impl AsRef<[u8]>, agent: &str, expected: &str) {
    let robots = Robots::parse(file.as_ref(), agent);
    for word in expected.split_whitespace() {
        let (verdict, path) = word.split_at(word.find('/').expect("a word names a path"));
        let decision = robots.decide(path);
        assert_eq!(
            if decision.allowed { '+' } else { '-' },
            word.chars().next().unwrap(),
            "{word}"
        );
        if let Ok(line) = verdict[1..].parse::<u32>() {
            assert_eq!(decision.line.unwrap_or(0), line, "{word}");
        }
    }
}

/// For one crawler, under a user-agent line: the rules' lines count from 2.
#[track_caller]
fn check_rules(rules: &str, expected: &str) {
    check(format!("user-agent: foobot\n{rules}"), "foobot", expected);
}

#[test]
fn simple_example_of_section_5_1() {
    let file = "User-Agent: *\nDisallow: *.gif$\nDisallow: /example/\nAllow: /publications/\n\n\
        User-Agent: foobot\nDisallow:/\nAllow:/example/page.html\nAllow:/example/allowed.gif\n\n\
        User-Agent: barbot\nUser-Agent: bazbot\nDisallow: /example/page.html\n\n\
        User-Agent: quxbot\n\n";
    check(file, "anybot", "-2/a.gif -2/b/c.gif +0/a.gif?b -3/example/ -3/example/page.html +0/");
    check(file, "anybot", "+4/publications/ +4/publications/a +0/publications -2/publications.gif");
    // Both match; the pattern with more octets counts.
    check(file, "anybot", "+4/publications/a.gif");
    check(file, "foobot", "+8/example/page.html +9/example/allowed.gif -7/example/ -7/ -7/a.gif");
    check(file, "foobot", "+8/example/page.html?a +9/example/allowed.gif.b");
    for agent in ["barbot", "bazbot"] {
        check(
            file,
            agent,
            "-13/example/page.html -13/example/page.html.b +0/ +0/a.gif +0/example/",
        );
    }
    check(file, "quxbot", "+0/ +0/a.gif +0/example/page.html");
}

#[test]
fn longest_match_of_section_5_2() {
    check(
        "User-Agent: foobot\nAllow: /example/page/\nDisallow: /example/page/disallowed.gif\n",
        "foobot",
        "-3/example/page/disallowed.gif +2/example/page/allowed.gif +0/example +2/example/page/",
    );
}

#[test]
fn groups_are_merged_as_in_section_2_2_1() {
    let file = "user-agent: ExampleBot\ndisallow: /foo\ndisallow: /bar\n\n\
        user-agent: ExampleBot\ndisallow: /baz\n";
    check(file, "ExampleBot", "-2/foo -3/bar -6/baz +0/qux");
    let file = "user-agent: *\ndisallow: /foo\ndisallow: /bar\n\n\
        user-agent: BazBot\ndisallow: /baz\n";
    check(file, "ExampleBot", "-2/foo -3/bar +0/baz");
    check(file, "BazBot", "+0/foo +0/bar -6/baz");
    // Groups of everybody's are merged as well.
    let file =
        "user-agent: *\ndisallow: /a\nuser-agent: x\ndisallow: /b\nuser-agent: *\nallow: /a/c";
    check(file, "foobot", "-2/a -2/a/d +6/a/c +0/b");
}

#[test]
fn no_group_no_rules() {
    check("", "foobot", "+0/ +0/a");
    check("user-agent: barbot\ndisallow: /\n", "foobot", "+0/ +0/a");
    check("user-agent: foobot\nallow: /\nuser-agent: barbot\ndisallow: /\n", "quxbot", "+0/x/y");
    check("user-agent: *\nallow: /\nuser-agent: foobot\ndisallow: /\n", "foobot", "-4/x/y");
    check("user-agent: *\nallow: /\nuser-agent: foobot\ndisallow: /\n", "barbot", "+2/x/y");
    // A group of our own without rules is one too: what everybody is told is not for us.
    check("user-agent: *\ndisallow: /\nuser-agent: foobot\n", "foobot", "+0/a");
    check("user-agent: *\ndisallow: /\nuser-agent: foobot\ndisallow:\n", "foobot", "+0/a");
    check("user-agent: foobot\n\nuser-agent: *\ndisallow: /\n", "foobot", "-4/a");
}

#[test]
fn rules_outside_groups_are_ignored() {
    let file = "allow: /foo/bar/\n\nuser-agent: FooBot\ndisallow: /\nallow: /x/\n\
        user-agent: BarBot\ndisallow: /\nallow: /y/\n\n\nallow: /w/\nuser-agent: BazBot\n\n\
        user-agent: FooBot\nallow: /z/\ndisallow: /\n";
    check(file, "FooBot", "+5/x/b +15/z/d -/y/c -/foo/bar/ -/w/a");
    check(file, "BarBot", "+8/y/c +11/w/a -7/z/d -7/foo/bar/ -/x/b");
    check(file, "BazBot", "+15/z/d -16/foo/bar/ -16/y/c");
    check("disallow: /\nuser-agent: *\n", "foobot", "+0/");
    check("disallow: /\n", "foobot", "+0/");
}

#[test]
fn several_user_agent_lines_share_a_group() {
    let file = "user-agent: a\nuser-agent: b\n\n# both\nuser-agent: *\ndisallow: /x\n";
    for agent in ["a", "b", "c"] {
        check(file, agent, "-6/x +0/y");
    }
    check("user-agent: a\nuser-agent: a\ndisallow: /x\n", "a", "-3/x");
}

#[test]
fn the_lines_names_are_case_insensitive() {
    for file in [
        "USER-AGENT: FooBot\nALLOW: /x/\nDISALLOW: /\n",
        "user-agent: FooBot\nallow: /x/\ndisallow: /\n",
        "uSeR-aGeNt: FooBot\nAlLoW: /x/\ndIsAlLoW: /\n",
    ] {
        check(file, "FooBot", "+2/x/y -3/a/b");
    }
}

#[test]
fn product_tokens_are_case_insensitive_and_end_at_other_characters() {
    for name in ["FOO BAR", "foo bar", "FoO bAr", "foo", "Foo/2.1", "foo*", "foo (+http://h/)"] {
        let file = format!("User-Agent: {name}\nAllow: /x/\nDisallow: /\n");
        for agent in ["Foo", "foo", "FOO", "foo/1.0", "foo bar"] {
            check(&file, agent, "+2/x/y -3/a/b");
        }
        for agent in ["fo", "foob", "foo-bar", "bar", "", "*"] {
            check(&file, agent, "+0/x/y +0/a/b");
        }
    }
    for (name, matches) in [
        ("foo_bot", true),
        ("foo_bot-b", false),
        ("foo-bot", false),
        ("foo", false),
        ("foo bot", false),
        ("", false),
        ("2foo_bot", false),
        ("ツfoo_bot", false),
        ("foo_bot2", true),
    ] {
        let word = if matches { "-2/" } else { "+0/" };
        check(format!("user-agent: {name}\ndisallow: /\n"), "foo_bot", word);
    }
    assert_eq!(product_token("rankpool/0.1 (+https://example.org/)"), "rankpool");
    assert_eq!(product_token("Foo_Bar-b"), "Foo_Bar-b");
    assert_eq!(product_token("ツ"), "");
}

#[test]
fn everybody_is_one_star() {
    for name in ["*", "* ", "*  # all", "* foobot"] {
        check(format!("user-agent: {name}\ndisallow: /\n"), "barbot", "-2/");
    }
    for name in ["**", "*bot", "", "any"] {
        check(format!("user-agent: {name}\ndisallow: /\n"), "barbot", "+0/");
    }
    let file = "User-Agent: *\nDisallow: /\nUser-Agent: Foo Bar\nAllow: /x/\nDisallow: /\n";
    check(file, "Foo", "+4/x/y -5/y");
    check(file, "Bar", "-2/x/y");
}

#[test]
fn lines_are_names_and_values() {
    check("user-agent: FooBot\ndisallow: /\n", "FooBot", "-2/x/y");
    check("foo: FooBot\nbar: /\n", "FooBot", "+0/x/y");
    check("  user-agent :FooBot  \n\t disallow\t:\t/a \t\n", "FooBot", "-2/a -2/ab");
    // A blank stands for the colon only between two words.
    check("user-agent FooBot\ndisallow /\n", "FooBot", "-2/x/y");
    check("user-agent\tFooBot\ndisallow  \t /\n", "FooBot", "-2/x/y");
    check("user-agent FooBot x\ndisallow /\n", "FooBot", "+0/x/y");
    check_rules("disallow /a /b\n", "+0/a +0/b");
    check_rules("disallow\n: /\n:\n::\ndisallow/a\n", "+0/a +0/");
    check_rules("disallow: /a:b\n", "-2/a:b +0/a");
    check_rules("disallow: : /a\n", "+0/a");
}

#[test]
fn common_misspellings_are_understood() {
    for name in ["dissallow", "dissalow", "disalow", "diasllow", "disallaw", "DISALOW"] {
        check_rules(&format!("{name}: /a"), "-2/a +0/b");
    }
    for name in ["useragent", "user agent", "User Agent", "USERAGENT"] {
        check(format!("{name}: foobot\ndisallow: /a"), "foobot", "-2/a +0/b");
    }
    for name in ["allowed", "disallowed", "disallow-all", "noindex", "dis allow", "allow-from"] {
        check_rules(&format!("{name}: /\ndisallow: /"), "-3/a");
    }
    for name in ["user-agents", "user-agent-x", "agent", "user_agent"] {
        check(format!("{name}: foobot\ndisallow: /a"), "foobot", "+0/a");
    }
}

#[test]
fn paths_are_case_sensitive() {
    check_rules("disallow: /x/\n", "-2/x/y +0/X/y");
    check_rules("disallow: /X/\n", "+0/x/y -2/X/y");
}

#[test]
fn most_octets_win_and_allow_wins_a_tie() {
    check_rules("disallow: /x/page.html\nallow: /x/\n", "-2/x/page.html +3/x/ +0/x");
    check_rules("allow: /x/page.html\ndisallow: /x/\n", "+2/x/page.html -3/x/");
    check_rules("disallow: \nallow: \n", "+0/x/page.html");
    check_rules("disallow: /\nallow: /\n", "+3/x/page.html");
    check_rules("allow: /\ndisallow: /\n", "+2/x/page.html");
    check_rules("disallow: /x\nallow: /x/\n", "-2/x +3/x/ -2/xy");
    check_rules("disallow: /x/page.html\nallow: /x/page.html\n", "+3/x/page.html");
    check_rules("allow: /page\ndisallow: /*.html\n", "-3/page.html +2/page");
    check_rules("allow: /x/page.\ndisallow: /*.html\n", "+2/x/page.html -3/x/y.html");
    check_rules("allow: /p\ndisallow: /\n", "+2/page -3/q");
    check_rules("allow: /folder\ndisallow: /folder\n", "+2/folder/page");
    check_rules("allow: /page\ndisallow: /*.htm\n", "-3/page.htm");
    check_rules("allow: /page\ndisallow: /*.ph\n", "+2/page.php5");
    check_rules("allow: /$\ndisallow: /\n", "+2/ -3/page.html -3/?a");
    // Octets, not characters: the encoded form of a letter beyond ASCII has several.
    check_rules("disallow: /ツ*\nallow: /*ツabc\n", "+3/ツabc");
    check_rules("disallow: /ツ/a\nallow: /*/abcd\n", "-2/ツ/abcd");
    // Of rules that say the same, the first is named.
    check_rules("disallow: /a\ndisallow: /a\n", "-2/a");
}

#[test]
fn an_empty_pattern_is_no_rule_but_ends_the_user_agent_lines() {
    check_rules("disallow:\n", "+0/ +0/a");
    check_rules("disallow: /\ndisallow:\n", "-2/a");
    check_rules("disallow: # nothing\n", "+0/a");
    check("user-agent: a\ndisallow:\nuser-agent: b\ndisallow: /\n", "a", "+0/x");
    check("user-agent: a\nallow:\nuser-agent: b\ndisallow: /\n", "b", "-4/x");
}

#[test]
fn patterns_begin_with_a_slash_or_a_star() {
    check_rules("disallow: a\ndisallow: $\ndisallow: ?a\ndisallow: http://h/a\n", "+0/a +0/?a +0/");
    check_rules("disallow: *\n", "-2/ -2/a");
    check_rules("disallow: *a\n", "-2/a -2/ba +0/b +0/");
    check_rules("disallow: *$\n", "-2/ -2/a");
    check_rules("disallow: //\n", "-2//a +0/a");
}

#[test]
fn robots_txt_itself_is_allowed() {
    check_rules(
        "disallow: /\ndisallow: /robots.txt\n",
        "+0/robots.txt -3/robots.txt.gz -3/robots.txt?",
    );
    check_rules("disallow: /\n", "+0/robots%2Etxt -2/Robots.txt -2/a/robots.txt -2/robots.tx");
}

#[test]
fn a_path_may_be_missing() {
    let robots = Robots::parse(b"user-agent: *\ndisallow: /$\ndisallow: /?a\n", "foobot");
    let denied = ["", "?a", "?ab"].map(|path| robots.decide(path).line);
    assert_eq!(denied, [Some(2), Some(3), Some(3)]);
    assert!(robots.decide("?b").allowed);
}

#[test]
fn examples_of_percent_encoding_in_section_2_2_2() {
    check_rules("disallow: /\nallow: /foo/bar?baz=quz\n", "+3/foo/bar?baz=quz -2/foo/bar?baz=qu");
    for spelling in ["https://foo.bar", "https%3A%2F%2Ffoo.bar", "https%3a%2f%2ffoo.bar"] {
        let rules = format!("disallow: /\nallow: /foo/bar?baz={spelling}\n");
        check_rules(
            &rules,
            "+3/foo/bar?baz=https://foo.bar +3/foo/bar?baz=https%3A%2F%2Ffoo.bar \
             +3/foo/bar?baz=https:%2F/foo.bar -2/foo/bar?baz=https:/foo.bar",
        );
    }
    for spelling in ["ツ", "%E3%83%84", "%e3%83%84", "%E3%83\u{0}".replace('\u{0}', "%84").as_str()]
    {
        let rules = format!("disallow: /\nallow: /foo/bar/{spelling}\n");
        check_rules(&rules, "+3/foo/bar/%E3%83%84 +3/foo/bar/%e3%83%84 +3/foo/bar/ツ -2/foo/bar/");
    }
    for spelling in ["baz", "%62%61%7A", "%62%61%7a", "b%61z"] {
        let rules = format!("disallow: /\nallow: /foo/bar/{spelling}\n");
        check_rules(&rules, "+3/foo/bar/baz +3/foo/bar/%62%61%7A +3/foo/bar/ba%7a -2/foo/bar/ba");
    }
}

#[test]
fn reserved_characters_are_not_decoded() {
    check_rules("disallow: /a%2Fb\n", "-2/a%2Fb -2/a%2fb +0/a/b");
    check_rules("disallow: /a/b\n", "+0/a%2Fb -2/a/b");
    check_rules("disallow: /a%3Fb\n", "-2/a%3Fb +0/a?b");
    check_rules("disallow: /a%26b\n", "-2/a%26b +0/a&b");
    check_rules("disallow: /a?b%3Dc\n", "-2/a?b%3dc +0/a?b=c");
    check_rules("disallow: /a?b%26c\n", "-2/a?b%26c +0/a?b&c");
    check_rules("disallow: /*%2F\n", "-2/a%2fb +0/a/b/c -2/a?b=%2F +0/a?b=/");
    check_rules("disallow: /*/print\n", "-2/a/print -2/a?b=/print");
    check_rules("disallow: /a%23b\n", "-2/a%23b +0/a");
    check_rules(
        "disallow: /\nallow: /foo/bar?qux=taz&baz=http://foo.bar?tar&par\n",
        "+3/foo/bar?qux=taz&baz=http://foo.bar?tar&par",
    );
}

#[test]
fn what_an_address_cannot_hold_is_encoded() {
    check_rules("disallow: /a b\n", "-2/a%20b +0/a");
    check_rules("disallow: /a|b\n", "-2/a%7Cb -2/a|b +0/acb");
    check_rules("disallow: /a^\n", "-2/a%5E -2/a^b +0/a");
    check_rules("disallow: /{id}\n", "-2/%7Bid%7D -2/{id}");
    check_rules("disallow: /100%\n", "-2/100% -2/100%25 +0/100");
    check_rules("disallow: /a%zz\n", "-2/a%zz -2/a%25zz +0/a");
    check_rules("disallow: /a%2\n", "-2/a%2 -2/a%252 +0/a%20");
    check(b"user-agent: *\ndisallow: /caf\xe9\n", "foobot", "-2/caf%E9 +0/café");
    check(b"user-agent: *\ndisallow: /a\0b\n", "foobot", "-2/a%00b +0/a");
}

#[test]
fn special_characters_of_section_2_2_3() {
    check_rules("disallow: /foo/bar/quz\nallow: /foo/*/qux\n", "-2/foo/bar/quz +0/foo/quz");
    check_rules("disallow: /\nallow: /foo/*/qux\n", "+3/foo/bar/qux +3/foo//qux +3/foo/a/b/quxx");
    check_rules("disallow: /\nallow: /this/*/exactly\n", "-2/this/exactly +3/this/x/exactly");
    check_rules(
        "allow: /this/path/exactly$\ndisallow: /\n",
        "+2/this/path/exactly -3/this/path/exactly/",
    );
    check_rules("disallow: /foo/bar$\nallow: /foo/bar/qux\n", "-2/foo/bar +3/foo/bar/qux");
    check_rules("disallow: /foo/bar$\nallow: /foo/bar/qux\n", "+0/foo/bar/ +0/foo/bar/baz");
    check_rules("# Disallow: /\nDisallow: /foo/quz#qux\nAllow: /\n", "+4/foo/bar -3/foo/quz");
    check_rules("allow: / # comment in line\n# comment on its own line\n", "+2/a");
    check_rules("disallow: /path/file-with-a-%2A.html\n", "-2/path/file-with-a-*.html");
    check_rules(
        "disallow: /path/file-with-a-%2A.html\n",
        "-2/path/file-with-a-%2a.html +0/path/file-with-a-b.html",
    );
    check_rules(
        "disallow: /path/foo-%24\n",
        "-2/path/foo-$ -2/path/foo-%24 -2/path/foo-$a +0/path/foo-",
    );
}

#[test]
fn a_dollar_is_special_at_the_end_alone() {
    check_rules("disallow: /a$b\n", "-2/a$b -2/a%24bc +0/a +0/ab");
    check_rules("disallow: /a$$\n", "-2/a$ +0/a$b +0/a");
    check_rules("disallow: /a$ # end\n", "-2/a +0/ab");
    check_rules("disallow: /a$*\n", "-2/a$ -2/a$b +0/a");
    check_rules("disallow: /a*$\n", "-2/a -2/ab");
    check_rules("disallow: /*a$\n", "-2/a -2/aba +0/ab");
    check_rules("disallow: /*ab*ab$\n", "-2/abab -2/abcab +0/ab +0/aab +0/ababc");
}

#[test]
fn stars_match_any_number_of_any_character() {
    check_rules("disallow: /**a\n", "-2/a -2/ba -2/b/a +0/b");
    check_rules("disallow: /*/*/x\n", "-2/a/b/x -2///x +0/a/x +0//x");
    check_rules("disallow: /a*b*c\n", "-2/abc -2/aXbYcZ +0/acb");
    check_rules("disallow: /*abab*ab\n", "-2/aababxab +0/abab");
    check_rules("disallow: /a*2A\n", "+0/a* -2/a2A +0/a%2A");
    check_rules("disallow: /*.php?*x=\n", "-2/a.php?b=1&x=2 +0/a.php/x= -2/b?c.php?x=");
}

#[test]
fn prefixes_and_suffixes() {
    let names = "+3/fish +3/fish.html +3/fish/salmon.html +3/fishheads +3/fishheads/yummy.html \
        +3/fish.html?id=anything -2/bar -2/Fish.asp -2/catfish -2/?id=fish";
    check_rules("disallow: /\nallow: /fish\n", names);
    check_rules("disallow: /\nallow: /fish*\n", names);
    check_rules(
        "disallow: /\nallow: /fish/\n",
        "+3/fish/ +3/fish/salmon +3/fish/?salmon +3/fish/salmon.html +3/fish/?id=anything \
         -2/fish -2/fish.html -2/Fish/Salmon.html -2/bar",
    );
    check_rules(
        "disallow: /\nallow: /*.php\n",
        "+3/filename.php +3/folder/filename.php +3/folder/filename.php?parameters \
         +3//folder/any.php.file.html +3/filename.php/ +3/index?f=filename.php/ \
         -2/php/ -2/index?php -2/windows.PHP -2/bar",
    );
    check_rules(
        "disallow: /\nallow: /*.php$\n",
        "+3/filename.php +3/folder/filename.php -2/filename.php?parameters -2/filename.php/ \
         -2/filename.php5 -2/php/ -2/filename?php -2/aaaphpaaa -2//windows.PHP -2/bar",
    );
    check_rules(
        "disallow: /\nallow: /fish*.php\n",
        "+3/fish.php +3/fishheads/catfish.php?parameters -2/Fish.PHP -2/bar",
    );
    // No file name is special.
    check_rules(
        "allow: /slash/index.html\ndisallow: /\n",
        "+2/slash/index.html -3/slash/ -3/slash/index.htm",
    );
}

#[test]
fn lines_end_with_cr_lf_or_both() {
    let lines = ["User-Agent: foo", "Allow: /some/path", "User-Agent: bar", "", "", "Disallow: /"];
    for end in ["\n", "\r", "\r\n"] {
        for last in ["", end] {
            let file = lines.join(end) + last;
            check(&file, "foo", "+2/some/path +0/a");
            check(&file, "bar", "-6/some/path");
            assert_eq!(line(file.as_bytes(), 6).as_deref(), Some("Disallow: /"));
            assert_eq!(line(file.as_bytes(), 7), None);
        }
    }
    let mixed = "User-Agent: foo\nAllow: /some/path\r\nUser-Agent: bar\n\r\n\nDisallow: /";
    check(mixed, "bar", "-6/a");
    check("user-agent: a\r\rdisallow: /\n\rallow: /b\r\n\r\n", "a", "-3/a +5/b");
    assert_eq!((line(b"a\nb", 0), line(b"", 1)), (None, None));
    assert_eq!(line(b"a \x1b[31mb\xff\n", 1).as_deref(), Some("a \u{fffd}[31mb\u{fffd}"));
}

#[test]
fn byte_order_marks_are_skipped_at_the_start() {
    let file = "User-Agent: foo\nDisallow: /a\n";
    for mark in ["\u{feff}".as_bytes(), b"\xef\xbb", b"\xef"] {
        check([mark, file.as_bytes()].concat(), "foo", "-2/a +0/b");
    }
    check([b"\xef\x11\xbf", file.as_bytes()].concat(), "foo", "+0/a");
    check("User-Agent: foo\n\u{feff}Disallow: /a\nDisallow: /b\n", "foo", "+0/a -3/b");
    let utf_16 = |order: fn(u16) -> [u8; 2]| {
        format!("\u{feff}{file}Disallow: /ツ\n").encode_utf16().flat_map(order).collect::<Vec<_>>()
    };
    check(utf_16(u16::to_le_bytes), "foo", "-2/a -3/%E3%83%84 +0/b");
    check(utf_16(u16::to_be_bytes), "foo", "-2/a -3/%E3%83%84 +0/b");
}

#[test]
fn other_records_neither_end_a_group_nor_hide_rules() {
    for other in
        ["Sitemap: https://h/s.xml", "Crawl-delay: 5", "Host: h", "x", "", "Clean-param: a /"]
    {
        let file = format!(
            "user-agent: a\n{other}\nuser-agent: b\n{other}\ndisallow: /x\n{other}\n\
            disallow: /y\nuser-agent: c\ndisallow: /z\n"
        );
        check(&file, "a", "-5/x -7/y +0/z");
        check(&file, "b", "-5/x -7/y +0/z");
        check(&file, "c", "+0/x -9/z");
    }
}

#[test]
fn sitemaps_are_for_all() {
    let sitemaps = |file: &str| {
        let robots = Robots::parse(file.as_bytes(), "foobot");
        let sitemaps = robots.sitemaps().collect::<Vec<_>>().join(" ");
        assert_eq!(robots.without_sitemaps().sitemaps().count(), 0);
        sitemaps
    };
    let url = "http://foo.bar/sitemap.xml";
    assert_eq!(
        sitemaps(&format!("User-Agent: x\nAllow: /some\nUser-Agent: b\n\n\nSitemap: {url}\n")),
        url
    );
    assert_eq!(
        sitemaps(&format!("Sitemap: {url}\nUser-Agent: x\nAllow: /\nUser-Agent: b\n\n")),
        url
    );
    assert_eq!(
        sitemaps("SITEMAP:/a\nsite-map: /b # c\nsitemap:\nSitemap: \u{7}\nsitemaps: /d"),
        "/a /b"
    );
}

#[test]
fn crawl_delays_belong_to_their_group() {
    let delay = |file: &str, agent: &str| {
        Robots::parse(file.as_bytes(), agent).crawl_delay().map(|delay| delay.as_millis())
    };
    for (value, expected) in [
        ("5", Some(5000)),
        ("0.25", Some(250)),
        ("0", Some(0)),
        (" 10 # comment", Some(10_000)),
        ("1e3", Some(1_000_000)),
        ("1e300", Some(604_800_000)),
        ("-1", None),
        ("NaN", None),
        ("inf", None),
        ("", None),
        ("1,5", None),
        ("5s", None),
        ("five", None),
    ] {
        assert_eq!(
            delay(&format!("user-agent: *\ncrawl-delay: {value}\n"), "a"),
            expected,
            "{value}"
        );
    }
    let file = "crawl-delay: 9\nuser-agent: a\ncrawl-delay: 2\ncrawl-delay: 1\nuser-agent: b\n\
        disallow: /x\ncrawl-delay: 3\n\nuser-agent: *\ncrawl-delay: 7\ndisallow:\n\nuser-agent: c\n";
    // Two groups in one, as no rule stands between their user-agent lines.
    assert_eq!(
        ["a", "b", "c", "d"].map(|agent| delay(file, agent)),
        [Some(3000), Some(3000), None, Some(7000)]
    );
}

#[test]
fn what_is_no_robots_txt_allows_everything() {
    let page = "<!DOCTYPE html>\n<html><title>Not found</title>\n<p>User-agent: see below\n</html>";
    check(page, "foobot", "+0/ +0/a");
    let noise: Vec<u8> =
        (0..200_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
    check(noise, "foobot", "+0/ +0/a");
    check([0; 1000], "foobot", "+0/");
    check(vec![b'\r'; 600_000], "foobot", "+0/");
    check(vec![b'a'; 600_000], "foobot", "+0/");
}

#[test]
fn half_a_mebibyte_is_read_up_to_the_end_of_a_line() {
    let start = "user-agent: *\ndisallow: /a\n";
    let filler = MAX_BYTES - start.len();
    let with = |filler: usize, line: &str| format!("{start}{}{line}\n", "#\n".repeat(filler / 2));
    check(with(filler - 20, "disallow: /b"), "foobot", "-2/a -/b");
    check(with(filler, "disallow: /b"), "foobot", "-2/a +0/b");
    // A rule that is cut in the middle would match more than it says.
    check(with(filler - 20, "disallow: /b/and-much-more"), "foobot", "-2/a +0/b/and-much");
    // Exactly as long as allowed, without a line end.
    let exact = with(filler - 12, "disallow: /bc");
    let exact = exact.trim_end();
    assert!(exact.len() <= MAX_BYTES && exact.len() + 2 > MAX_BYTES, "{}", exact.len());
    check(exact, "foobot", "-/bc");
    let long = format!("user-agent: *\ndisallow: /{}\n", "a".repeat(400_000));
    check(&long, "foobot", &format!("+0/aaa -2/{}", "a".repeat(400_001)));
}

#[test]
fn hostile_patterns_cost_little() {
    let pattern = "/*a*a".repeat(1024 / 5);
    let robots =
        Robots::parse(format!("user-agent: *\ndisallow: {pattern}b\n").as_bytes(), "foobot");
    for path in [format!("/{}", "a".repeat(1_000_000)), "/a".repeat(500_000), "/aab".repeat(200)] {
        robots.decide(&path);
    }
    assert_eq!(robots.decide(&("/a/aa".repeat(1000) + "b")).line, Some(2));
    let wild = "/*".to_owned() + &"*".repeat(400_000);
    let robots = Robots::parse(format!("user-agent: *\ndisallow: {wild}$\n").as_bytes(), "foobot");
    assert_eq!(robots.decide(&"/a".repeat(4000)).line, Some(2));
    let mut many = "user-agent: *\n".to_owned();
    for n in 0..200_000 {
        many += &format!("disallow: /*{n}*a*{n}$\n");
    }
    let robots = Robots::parse(many.as_bytes(), "foobot");
    assert!((15_000..25_000).contains(&robots.n_rules()), "{}", robots.n_rules());
    assert!(robots.memory() < MAX_BYTES, "{}", robots.memory());
    assert!(robots.decide(&format!("/{}", "123456".repeat(300))).allowed);
    assert_eq!(robots.decide("/xx7yya7").line, Some(9));
}

#[test]
fn little_is_kept_of_what_is_for_others() {
    let mut file =
        "user-agent: *\ndisallow: /cgi-bin/\ndisallow: /tmp/\ndisallow: /~joe/\n".to_owned();
    for n in 0..1000 {
        file += &format!("user-agent: bot{n}\ndisallow: /a-long-path-that-is-not-for-us\n");
    }
    let robots = Robots::parse(file.as_bytes(), "rankpool");
    assert_eq!(robots.n_rules(), 3);
    assert!(robots.memory() <= 100 + size_of::<Robots>(), "{}", robots.memory());
    assert!(size_of::<Robots>() <= 56);
}

#[test]
fn it_travels_as_it_is() {
    let file = "user-agent: *\ndisallow: /*\"a\\ツ$\nallow: /b\ncrawl-delay: 2\nsitemap: /s\n";
    let robots = Robots::parse(file.as_bytes(), "foobot");
    let json = serde_json::to_string(&robots).unwrap();
    assert!(json.len() < 120, "{json}");
    assert_eq!(serde_json::from_str::<Robots>(&json).unwrap(), robots);
    // Whatever arrives, deciding goes on.
    for rules in ["", "\n\n", "x", "- ", "-9 /", "é9 /", "-99999999999 /", "\u{0} |^"] {
        let broken =
            serde_json::json!({"rules": rules, "note": "", "crawl_delay": null, "sitemaps": ""});
        serde_json::from_value::<Robots>(broken).unwrap().decide("/a");
    }
}
