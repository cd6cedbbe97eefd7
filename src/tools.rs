//! What rankpool does besides running jobs: bring values together, tell of machines and find them,
//! write and read pipes.

use std::io::{self, Read as _, Write as _};
use std::os::unix::ffi::OsStrExt as _;
use std::time::Duration;

use anyhow::Result;
use rankpool::cli::{AnnounceArgs, DiscoverArgs, GatherArgs, HostfileFormat, PipeEnd};
use rankpool::discover::{self, announce::Announcement, hostfile::Format, search::Search};
use rankpool::gather::Gather;
use rankpool::{pipe as pipes, world};

/// How long `pipe read` waits by itself.
const PIPE_DEADLINE: Duration = Duration::from_secs(10);

/// `rankpool gather`; whether every value is here, or no record names it any more.
pub(crate) fn gather(args: &GatherArgs) -> Result<bool> {
    let GatherArgs { results, into, agent, forget_lost } = args.clone();
    let gather = Gather { results, into, agent, forget_lost };
    let gathered = gather.run(&mut |line| crate::say(&format!("rankpool: {line}")))?;
    writeln!(io::stdout(), "{gathered}")?;
    Ok(gathered.lost.is_empty() || forget_lost)
}

pub(crate) fn announce(args: &AnnounceArgs) -> Result<u8> {
    let announcement = Announcement {
        slots: args.slots,
        name: args.name.clone(),
        interface: args.network.interface.clone(),
        secret_file: args.network.secret_file.clone(),
        mpi: world::library(),
    };
    discover::announce(&announcement, &mut crate::say)?;
    Ok(0)
}

pub(crate) fn search(args: &DiscoverArgs) -> Result<u8> {
    let search = Search {
        wait: args.wait,
        min_cores: args.min_cores.map_or(0, Into::into),
        min_memory: args.min_memory.unwrap_or(0),
        max_age: args.max_age,
        format: match args.format {
            HostfileFormat::Openmpi => Format::OpenMpi,
            HostfileFormat::Mpich => Format::Mpich,
        },
        interface: args.network.interface.clone(),
        secret_file: args.network.secret_file.clone(),
        mpi: world::library(),
    };
    let hostfile = discover::search(&search, &mut crate::say)?;
    write!(io::stdout().lock(), "{hostfile}")?;
    Ok(0)
}

pub(crate) fn pipe(end: &PipeEnd) -> Result<u8> {
    match end {
        PipeEnd::Read(args) => {
            let deadline = args.deadline.or((!args.follow).then_some(PIPE_DEADLINE));
            pipes::read(&args.path, args.follow, deadline, &mut io::stdout())?;
        }
        PipeEnd::Write(args) if args.lines => {
            let lines = args.messages.iter().map(|line| [line.as_bytes(), b"\n"].concat());
            let lines: Vec<u8> = lines.flatten().collect();
            let from_stdin = args.messages == ["-"];
            let lines: Box<dyn io::BufRead> = if from_stdin {
                Box::new(io::stdin().lock())
            } else {
                Box::new(io::Cursor::new(lines))
            };
            pipes::write_lines(&args.path, lines, args.deadline)?;
        }
        PipeEnd::Write(args) => {
            let mut typed = Vec::new();
            if args.messages.iter().any(|message| message == "-") {
                io::stdin().read_to_end(&mut typed)?;
            }
            let messages = args.messages.iter();
            let messages =
                messages.map(|word| if word == "-" { &typed[..] } else { word.as_bytes() });
            pipes::write(&args.path, messages, args.deadline)?;
        }
    }
    Ok(0)
}
