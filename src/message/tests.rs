use proptest::prelude::*;

use std::num::NonZeroU64;
use std::time::Duration;

use super::*;
use crate::task::{Done, ErrorClass, Input};

fn task() -> impl Strategy<Value = Task> {
    let input = prop_oneof![
        any::<u64>().prop_map(Input::Number),
        ".{0,40}".prop_map(|text| Input::Text(text.into())),
    ];
    let limit = prop::option::of(any::<NonZeroU64>());
    (any::<u16>(), 0..3u32, 0..3u32, limit, input).prop_map(
        |(table, earlier_attempts, occurrence, limit, input)| Task {
            seq: 0,
            table,
            earlier_attempts,
            occurrence,
            cost: 0.0,
            near: 0,
            history: None,
            limit,
            input,
        },
    )
}

fn span() -> impl Strategy<Value = Span> {
    (task(), 0..3u32, 0..9u64).prop_map(|(first, more, step)| {
        let step = if more == 0 { 0 } else { step };
        Span { first, more, step }
    })
}

fn one<'a>(outcomes: &mut Outcomes<'a>) -> Outcome<'a> {
    match outcomes.take().unwrap() {
        Some(Told::One(outcome)) => outcome,
        told => panic!("{told:?}"),
    }
}

proptest! {
    #[test]
    fn a_chunk_arrives_as_it_was_sent(id in any::<u64>(), spans in prop::collection::vec(span(), 0..50)) {
        let mut message = Vec::new();
        ToWorker::Chunk(&encode_chunk(id, spans.iter())).encode(&mut message);
        ToWorker::Finish.encode(&mut message);
        let mut rest = message.as_slice();
        let Some(ToWorker::Chunk(payload)) = ToWorker::decode(&mut rest).unwrap() else {
            panic!("not a chunk")
        };
        prop_assert_eq!(decode_chunk(payload).unwrap(), (id, spans));
        prop_assert_eq!(ToWorker::decode(&mut rest).unwrap(), Some(ToWorker::Finish));
        prop_assert_eq!(ToWorker::decode(&mut rest).unwrap(), None);
    }

    #[test]
    fn a_torn_message_is_an_error_and_never_a_panic(spans in prop::collection::vec(span(), 1..9), cut in any::<prop::sample::Index>()) {
        let payload = encode_chunk(7, spans.iter());
        let cut = cut.index(payload.len());
        prop_assert!(decode_chunk(&payload[..cut]).is_err());
    }

    #[test]
    fn any_bytes_decode_without_a_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_chunk(&bytes);
        let mut rest = bytes.as_slice();
        while let Ok(Some(_)) = ToRoot::decode(&mut rest) {}
        if let Ok(mut outcomes) = Outcomes::decode(&bytes) {
            while let Ok(Some(told)) = outcomes.take() {
                let Told::Row(mut row) = told else { continue };
                while row.count > 0 && row.take(3).is_ok() {}
            }
        }
    }
}

#[test]
fn outcomes_arrive_with_their_records() {
    let mut builder = OutcomesBuilder::new(9);
    assert!(builder.is_empty());
    builder.begin().extend_from_slice(b"one\n");
    builder.end(3, Status::Ok, 17, &Done { again: None, report: b"told".to_vec() });
    builder.begin();
    let day = Duration::from_secs(86_400);
    let done = |again| Done { again, report: Vec::new() };
    builder.end(4, Status::Failed(ErrorClass::Memory), 1 << 40, &done(Some(day)));
    for (idx, micros) in [0, 1, 1_000_000, u64::MAX].into_iter().enumerate() {
        builder.begin();
        let again = Some(Duration::from_micros(micros));
        builder.end(u32::try_from(idx).unwrap(), Status::Ok, 0, &done(again));
    }
    let payload = builder.finish();
    let mut outcomes = Outcomes::decode(&payload).unwrap();
    assert_eq!(outcomes.chunk, 9);
    let first = one(&mut outcomes);
    assert_eq!((first.index, first.status, first.nanos), (3, Status::Ok, 17));
    assert_eq!(first.again, None);
    assert_eq!((first.record, first.report), (&b"one\n"[..], &b"told"[..]));
    let second = one(&mut outcomes);
    assert_eq!(second.status, Status::Failed(ErrorClass::Memory));
    assert_eq!((second.nanos, second.record, second.report), (1 << 40, &b""[..], &b""[..]));
    assert_eq!(second.again, Some(day));
    for millis in [0, 1, 1000, u64::from(u32::MAX) - 1] {
        let again = one(&mut outcomes).again;
        assert_eq!(again, Some(Duration::from_millis(millis)), "rounded up, and never none");
    }
    assert!(outcomes.take().unwrap().is_none());
}

#[test]
fn outcomes_in_a_row_arrive_as_one() {
    let mut builder = OutcomesBuilder::new(9);
    let plain = [(0, 2, 5), (2, 1, 1 << 40), (3, 3, 0), (7, 9, 300), (16, 1, 1)];
    let add = |builder: &mut OutcomesBuilder, of: &[(u32, u32, u64)]| {
        for &(index, n, nanos) in of {
            builder.add_plain(index, Times { n, nanos });
        }
    };
    add(&mut builder, &plain[..2]);
    assert!(!builder.is_empty());
    builder.begin().extend_from_slice(b"one\n");
    builder.end(6, Status::Ok, 17, &Done::default());
    add(&mut builder, &plain[2..]);
    let payload = builder.finish();
    let mut outcomes = Outcomes::decode(&payload).unwrap();
    let (mut heard, mut shape) = (Vec::new(), Vec::new());
    while let Some(told) = outcomes.take().unwrap() {
        match told {
            Told::One(outcome) => shape.push((outcome.index, 0)),
            Told::Row(mut row) => {
                shape.push((row.index, row.count));
                while row.count > 0 {
                    let index = row.index;
                    let Times { n, nanos } = row.take(4).unwrap();
                    heard.push((index, n, nanos));
                }
            }
        }
    }
    assert_eq!(shape, [(0, 3), (6, 0), (3, 3), (7, 10)]);
    let split = [(7, 4, 300), (11, 4, 300), (15, 1, 300)];
    assert_eq!(heard, [&plain[..3], &split, &plain[4..]].concat());
}

#[test]
fn every_error_class_has_a_code_of_its_own() {
    for &class in ErrorClass::ALL {
        assert_eq!(ErrorClass::from_code(class.code()).unwrap(), class);
    }
    assert!(ErrorClass::from_code(0).is_err());
    assert!(ErrorClass::from_code(255).is_err(), "it is a row's");
}
