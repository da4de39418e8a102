function startDeck(root) {
  const strips = [...root.querySelectorAll("[data-strip]")];
  const choices = [...root.querySelectorAll(".switch input")];
  const audios = strips.map((strip) => strip.querySelector("audio"));
  const failure = root.querySelector("[data-failure]");

  function show(player) {
    showPosition(root, player);
    strips.forEach((strip, index) => strip.classList.toggle("heard", index === player.index));
    choices[player.index].checked = true;
    failure.hidden = player.failed === null;
    if (player.failed !== null) {
      const name = choices[player.failed].nextElementSibling.textContent;
      failure.textContent = "The audio of “" + name + "” cannot be played. Is the file missing?";
    }
  }

  const player = new Player(audios, Number(root.dataset.seconds), show);
  const slider = root.querySelector("[data-slider]");
  const button = root.querySelector("[data-play]");
  button.addEventListener("click", () => player.toggle());
  choices.forEach((choice, index) => choice.addEventListener("change", () => player.select(index)));
  strips.forEach((strip, index) => {
    followPointer(strip.querySelector("[data-lane]"), player, () => player.select(index));
  });
  followPointer(slider, player);
  makeSlider(slider, player);
  root.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const number = Number(event.key);
    if (event.key === " " && event.target !== button) player.toggle();
    else if (number >= 1 && number <= audios.length) player.select(number - 1);
    else return;
    event.preventDefault();
  });
  audios.forEach((audio) => { audio.controls = false; });
  button.disabled = false;
  root.classList.add("ready");
  root.player = player;
  show(player);
  // Files that failed to load before this script ran send no more events.
  audios.forEach((audio, index) => { if (audio.error) player.fail(index); });
}

document.querySelectorAll("[data-deck]").forEach(startDeck);
