"""The arithmetic of the benchmarks of rendering with few steps."""

import pytest

SECOND = 16_000


def test_a_player_that_starves_twice(benchmark):
    """Two seconds arrive at 1; the next part is 0.5 s early, the third 1.5 s late."""
    playback = benchmark("playback")
    parts = [
        playback.Part(0.4, 0),  # the inverter holds back the first frames
        playback.Part(1.0, 2 * SECOND),  # until 3
        playback.Part(2.5, SECOND),  # reserve 0.5; until 4
        playback.Part(5.5, SECOND // 2),  # 1.5 s of silence; until 6
        playback.Part(6.25, 4 * SECOND),  # 0.25 s of silence; until 10.25
        playback.Part(8.0, SECOND),  # reserve 2.25
    ]
    played = playback.play(parts)
    assert played == pytest.approx((1.0, 0.0, 2, 1.75))


def test_a_player_that_never_starves(benchmark):
    playback = benchmark("playback")
    parts = [playback.Part(0.25, SECOND), playback.Part(0.75, SECOND), playback.Part(2.0, SECOND)]
    # Played until 1.25, 2.25 and 3.25.
    assert playback.play(parts) == pytest.approx((0.25, 0.25, 0, 0.0))


def test_a_song_of_one_part(benchmark):
    playback = benchmark("playback")
    assert playback.play([playback.Part(0.5, SECOND)]) == pytest.approx((0.5, 1.0, 0, 0.0))


def test_nothing_to_play(benchmark):
    playback = benchmark("playback")
    with pytest.raises(ValueError, match="no samples"):
        playback.play([playback.Part(0.5, 0)])


def test_a_row_of_the_table_of_first_sounds(benchmark):
    first_sound, playback = benchmark("first_sound"), benchmark("playback")
    played = playback.Playback(0.6, 0.754, 3, 1.5)
    line = first_sound.line_of("2 evaluations", 180.4, [0.2, 0.1, 0.6], played)
    assert line == "| 2 evaluations | 180 | 200 (100 to 600) | 0.75 | 3 |"


def test_functions_are_timed_in_turns_after_a_round(benchmark):
    few_steps = benchmark("few_steps")
    calls: list[str] = []
    functions = {name: lambda name=name: calls.append(name) for name in "ab"}
    # The clock is read before every call, and after those that count.
    clock = iter([0.0, 0.0, 1.0, 3.0, 10.0, 14.0, 20.0, 21.0, 30.0, 38.0]).__next__
    seconds = few_steps.in_turns(functions, 2, clock)
    assert seconds == {"a": [2.0, 1.0], "b": [4.0, 8.0]}
    assert calls == ["a", "b"] * 3


def test_ratios_are_of_one_round(benchmark):
    few_steps = benchmark("few_steps")
    # 2, 4 and 3 times; the ratio of the medians would be 2.67.
    assert few_steps.ratios([8.0, 16.0, 6.0], [4.0, 4.0, 2.0]) == "3.00 (2.00 to 4.00)"


def test_songs_are_joined_one_after_another(benchmark):
    songs = benchmark("rendered_songs")
    examples = songs.example_songs()
    total = sum(song.total_seconds for song in examples)
    joined = songs.long_song(total)
    # Gaps between the songs are enough to reach the length without another one.
    assert len(joined) == sum(map(len, examples))
    assert joined.total_seconds == pytest.approx(total + 0.5 * (len(examples) - 1))
    second = len(examples[0])
    assert joined.onset_seconds[second] == pytest.approx(
        examples[0].total_seconds + 0.5 + examples[1].onset_seconds[0]
    )


def test_a_row_of_the_table_at_base_size(benchmark):
    """Segments of 5.12 s in 2 s, and in rounds 102 to 402 s: 51, 101 and 201 times longer."""
    base_speed = benchmark("base_speed")
    port = [base_speed.whole(2.0, evaluation, 100) for evaluation in (1.0, 2.0, 4.0)]
    line = base_speed.line_of(2048, [base_speed.whole(1.2, 0.2, 4)] * 3, port)
    assert line == "| 2048 | 2.56 | 0.025 | 101 (51 to 201) |"
