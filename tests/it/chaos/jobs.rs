//! Random jobs of all kinds, and what they gather when nothing disturbs them.

use std::collections::BTreeMap;
use std::fs;
use std::sync::OnceLock;
use std::time::Duration;

use serde_json::Value;

use super::Random;
use crate::local::gathered;
use crate::site::{Site, html};
use crate::util::{Dir, rankpool};

const SETTINGS: &str = "heartbeat = \"2s\"\ncrash_limit = 9\n";

/// In every job: a second or two of work.
const ALWAYS: (&str, &str) = (
    "waits",
    "kind = \"probe\"\nn = \"1..=100\"\naction = \"sleep\"\npool = \"cpu\"\ntime = \"10ms\"\n",
);

/// No two of them have a task in common. `PORT` is the site's.
const TABLES: [(&str, &str); 10] = [
    (
        "terms",
        "kind = \"fibonacci\"\nn = [4, 3, 8, 6, 10, \"0..=400\", 5, 5, 300000]\nvalue = \"full\"\n",
    ),
    ("remainders", "kind = \"fibonacci\"\nn = \"0..=3000:3\"\nmodulus = 1000000007\n"),
    ("digests", "kind = \"fibonacci\"\nn = \"90000..=90080\"\nvalue = \"summary\"\n"),
    ("naps", "kind = \"probe\"\nn = \"200..=300\"\naction = \"sleep\"\ntime = \"20ms\"\n"),
    ("failures", "kind = \"probe\"\nn = \"401..=440\"\naction = \"fail\"\nevery = 10\n"),
    ("panics", "kind = \"probe\"\nn = \"501..=520\"\naction = \"panic\"\nevery = 7\n"),
    ("outputs", "kind = \"probe\"\nn = \"601..=612\"\naction = \"output\"\nbytes = 40000\n"),
    (
        "commands",
        "kind = \"command\"\nshell = true\nrun = \"sleep 0.02; echo {}; test {} -ne 7\"\n\
         range = \"1..=40\"\n",
    ),
    (
        "pages",
        "kind = \"fetch\"\nbase = \"http://127.0.0.1:PORT/\"\n\
         urls = [\"/0\", \"/1\", \"/2\", \"/3\", \"/4\", \"/5\", \"/none\"]\n",
    ),
    (
        "crawl",
        "kind = \"crawl\"\nseeds = [\"http://127.0.0.9:PORT/0\"]\nanonymous = true\n\
         allow_private = true\ndelay = \"0s\"\nper_host = 4\n",
    ),
];

/// Pages of the crawled site: a tree, whose pages also link back to its root.
const PAGES: u32 = 60;

/// A `[[task]]` table, and what comes of it.
struct Table {
    name: &'static str,
    text: String,
    outcomes: BTreeMap<String, String>,
    bytes: u64,
    fails: bool,
}

/// What jobs are made of.
struct Shelf {
    always: Table,
    tables: Vec<Table>,
    /// Serves as long as there is a shelf.
    _site: Site,
}

fn shelf() -> &'static Shelf {
    static SHELF: OnceLock<Shelf> = OnceLock::new();
    SHELF.get_or_init(|| {
        let site = Site::hosts(|_, path| {
            let n: u32 = path.trim_start_matches('/').parse().ok().filter(|&n| n < PAGES)?;
            let to: String =
                (3 * n + 1..3 * n + 4).map(|n| format!("<a href=/{n}>{n}</a>")).collect();
            let page = html(format!("<title>{n}</title><a href=/0>top</a>{to}"));
            Some(page.after(Duration::from_millis(5)))
        });
        let table = |(name, text): (_, &str)| {
            let text = text.replace("PORT", &site.port().to_string());
            Table::undisturbed(name, format!("[[task]]\n{text}"))
        };
        let tables = TABLES.into_iter().map(table).collect();
        Shelf { always: table(ALWAYS), tables, _site: site }
    })
}

impl Table {
    fn undisturbed(name: &'static str, text: String) -> Self {
        let (ran, dir) = rankpool().job(&format!("{SETTINGS}{text}")).run();
        let code = ran.status.code();
        assert!(matches!(code, Some(0 | 1)), "{name}: {code:?}: {}", ran.stderr);
        let outcomes = outcomes(&dir.records("job.results.jsonl"));
        assert!(outcomes.len() > 5, "{name}: {outcomes:?}");
        let bytes = fs::metadata(dir.path().join("job.results.jsonl")).unwrap().len();
        Self { name, text, outcomes, bytes, fails: code == Some(1) }
    }
}

/// A job file and what is to come of it.
pub(super) struct Job {
    /// The tables in it.
    pub(super) name: String,
    pub(super) text: String,
    /// By id.
    pub(super) expected: BTreeMap<String, String>,
    /// About so large is the results file.
    pub(super) bytes: u64,
    /// Whether some of its tasks fail.
    pub(super) fails: bool,
}

impl Job {
    /// About half of the tables, in any order.
    pub(super) fn draw(random: &mut Random) -> Self {
        let shelf = shelf();
        let mut tables: Vec<&Table> = vec![&shelf.always];
        for table in &shelf.tables {
            if random.below(2) == 0 {
                let at = usize::try_from(random.below(tables.len() as u64 + 1)).unwrap();
                tables.insert(at, table);
            }
        }
        let names: Vec<_> = tables.iter().map(|table| table.name).collect();
        Self {
            name: names.join(" "),
            text: SETTINGS.to_owned()
                + &tables.iter().map(|table| &*table.text).collect::<String>(),
            expected: tables.iter().flat_map(|table| table.outcomes.clone()).collect(),
            bytes: tables.iter().map(|table| table.bytes).sum(),
            fails: tables.iter().any(|table| table.fails),
        }
    }

    /// Whether there is a record for each task.
    pub(super) fn is_complete(&self, dir: &Dir) -> bool {
        let text = fs::read_to_string(dir.path().join("job.results.jsonl")).unwrap_or_default();
        text.ends_with('\n') && text.lines().count() >= self.expected.len()
    }
}

/// What the tasks gave, by id, whoever ran them, however often and how fast.
pub(crate) fn outcomes(records: &[Value]) -> BTreeMap<String, String> {
    let mut records = records.to_vec();
    for record in &mut records {
        record["attempts"] = 1.into();
        for part in ["output", "error"] {
            if let Some(part) = record.get_mut(part).and_then(Value::as_object_mut) {
                part.remove("seconds_cpu");
            }
        }
    }
    gathered(&records)
}
