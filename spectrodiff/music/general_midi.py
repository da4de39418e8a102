"""Names of the General MIDI instruments and drums."""

from collections import Counter
from collections.abc import Collection, Sequence

# Names of the standard (General MIDI Level 1), without numbers and brackets, one family per line.
_PROGRAMS = """
piano, bright piano, electric grand piano, honky-tonk piano, electric piano, second electric piano, harpsichord, clavinet
celesta, glockenspiel, music box, vibraphone, marimba, xylophone, tubular bells, dulcimer
drawbar organ, percussive organ, rock organ, church organ, reed organ, accordion, harmonica, tango accordion
nylon guitar, steel guitar, jazz guitar, clean guitar, muted guitar, overdriven guitar, distorted guitar, guitar harmonics
acoustic bass, fingered bass, picked bass, fretless bass, slap bass, second slap bass, synth bass, second synth bass
violin, viola, cello, contrabass, tremolo strings, pizzicato strings, harp, timpani
strings, slow strings, synth strings, second synth strings, choir, voice, synth voice, orchestra hit
trumpet, trombone, tuba, muted trumpet, french horn, brass section, synth brass, second synth brass
soprano saxophone, alto saxophone, tenor saxophone, baritone saxophone, oboe, english horn, bassoon, clarinet
piccolo, flute, recorder, pan flute, blown bottle, shakuhachi, whistle, ocarina
square lead, sawtooth lead, calliope lead, chiff lead, charang lead, voice lead, fifths lead, bass lead
new age pad, warm pad, polysynth pad, choir pad, bowed pad, metallic pad, halo pad, sweep pad
rain effect, soundtrack effect, crystal effect, atmosphere effect, brightness effect, goblin effect, echo effect, sci-fi effect
sitar, banjo, shamisen, koto, kalimba, bagpipe, fiddle, shanai
tinkle bell, agogo, steel drums, woodblock, taiko drum, melodic tom, synth drum, reverse cymbal
guitar fret noise, breath noise, seashore, bird tweet, telephone, helicopter, applause, gunshot
"""  # noqa: E501
# Keys 27 to 87 (General MIDI Level 2; Level 1 has 35 to 81).
_FIRST_DRUM = 27
_DRUMS = """
high q, slap, scratch push, scratch pull, sticks, square click, metronome click, metronome bell
acoustic bass drum, bass drum, side stick, snare drum, hand clap, electric snare drum
low floor tom, closed hi-hat, high floor tom, pedal hi-hat, low tom, open hi-hat, low-mid tom, high-mid tom
crash cymbal, high tom, ride cymbal, chinese cymbal, ride bell, tambourine, splash cymbal, cowbell
second crash cymbal, vibraslap, second ride cymbal, high bongo, low bongo, muted high conga, open high conga, low conga
high timbale, low timbale, high agogo, low agogo, cabasa, maracas, short whistle, long whistle
short guiro, long guiro, claves, high woodblock, low woodblock, muted cuica, open cuica
muted triangle, open triangle, shaker, jingle bell, bell tree, castanets, muted surdo, open surdo
"""  # noqa: E501


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for line in text.strip().splitlines() for name in line.split(", "))


PROGRAM_NAMES = _names(_PROGRAMS)
"""Names of the programs 0 to 127."""

DRUM_NAMES = dict(enumerate(_names(_DRUMS), _FIRST_DRUM))
"""Names of the drums by key, 27 to 87."""

# Last words of names that identify an instrument if no other in the list has the same last word.
_NOUNS = frozenset(
    ("piano", "organ", "guitar", "bass", "strings", "trumpet", "saxophone", "flute", "lead", "pad")
)


def drum_name(key: int) -> str:
    """Returns the name of a drum; "drum N" for keys without a General MIDI name."""
    return DRUM_NAMES.get(key, f"drum {key}")


def short_names(programs: Sequence[int], taken: Collection[str] = ()) -> dict[int, str]:
    """Returns names for a set of instruments, abbreviated where that is unambiguous.

    Args:
        programs: General MIDI programs 0..127.
        taken: names that are not available as abbreviations.

    Returns:
        Name of each program: "guitar" for the nylon guitar if there is no other guitar.
    """
    nouns = {program: PROGRAM_NAMES[program].rsplit(" ", 1)[-1] for program in set(programs)}
    count = Counter(nouns.values())
    return {
        program: noun
        if noun in _NOUNS and count[noun] == 1 and noun not in taken
        else PROGRAM_NAMES[program]
        for program, noun in nouns.items()
    }


def enumerate_names(names: Sequence[str]) -> str:
    """Joins names to a phrase: "a", "a and b", "a, b and c"."""
    *others, last = names
    return f"{', '.join(others)} and {last}" if others else last
