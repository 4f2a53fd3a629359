// Cards: a guess first, then the training that shows who was right.
import { CARDS, PRESETS } from "./presets.js";
import { byId, node, short } from "./words.js";

// ask({preset, steps}) opens the card's settings and trains; frames come in by `see`.
export function makeCards(ask) {
  let [index, guess] = [0, null];

  function show() {
    const { question, choices } = CARDS[index];
    guess = null;
    byId("question").textContent = question;
    byId("answer").textContent = "";
    byId("choices").replaceChildren(...choices.map(choiceButton));
    byId("card-number").textContent = `${index + 1} of ${CARDS.length}`;
  }

  function choiceButton(choice) {
    const button = node("button", choice, { type: "button", "aria-pressed": "false" });
    button.addEventListener("click", () => {
      guess = choice;
      for (const other of byId("choices").children) other.setAttribute("aria-pressed", String(other === button));
      byId("answer").textContent = `You say ${choice}. Training…`;
      ask(CARDS[index]);
    });
    return button;
  }

  byId("next-card").addEventListener("click", () => {
    index = (index + 1) % CARDS.length;
    show();
  });
  show();
  return {
    // Is this frame the end of the card's training? Then its answer stands there.
    see(frame) {
      const card = CARDS[index];
      if (guess === null || frame.step < card.steps) return false;
      const right = card.right(frame.arms);
      const { lora, neat } = frame.arms;
      const verdict = right === guess ? "Right" : `You said ${guess}; here it is ${right}`;
      byId("answer").textContent = `${verdict}. Errors: LoRA ${short(lora.error)}, NEAT ${short(neat.error)}. ${card.why}`;
      guess = null;
      return true;
    },
    // The settings are no longer the card's: there is nothing to be shown of it.
    leave() {
      if (guess !== null) show();
    },
  };
}

export function listPresets(select, choose) {
  select.append(node("option", "Presets", { value: "" }));
  for (const [name, preset] of Object.entries(PRESETS)) select.append(node("option", preset.title, { value: name }));
  select.addEventListener("change", () => {
    if (select.value) choose(select.value);
  });
}
