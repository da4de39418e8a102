// Notices above the player, spoken announcements, and the list of keys.

const box = document.getElementById("notices");
const announcement = document.getElementById("announcement");

export function clockText(seconds) {
  const whole = Math.max(0, Math.floor(seconds + 1e-6));
  return `${Math.floor(whole / 60)}:${String(whole % 60).padStart(2, "0")}`;
}

export function count(number, one, many = `${one}s`) {
  return `${number.toLocaleString("en")} ${number === 1 ? one : many}`;
}

// An element with text and attributes; text from files is never read as HTML.
export function make(tag, { text, className, ...attributes } = {}, ...children) {
  const element = document.createElement(tag);
  if (text !== undefined) element.textContent = text;
  if (className) element.className = className;
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

const shown = new Map();

// Notices by key. An error stays until it is closed or cleared; a note can be closed, too.
export const notices = {
  set(key, text, { error = false, action = null } = {}) {
    const existing = shown.get(key);
    if (existing?.text === text) return;
    existing?.element.remove();
    const close = make("button", { className: "close", type: "button", text: "×", "aria-label": "Close this message" });
    const element = make("div", { className: error ? "notice error" : "notice", role: error ? "alert" : "status" },
      make("p", { text }));
    if (action) {
      const button = make("button", { type: "button", text: action.label });
      button.addEventListener("click", () => { notices.clear(key); action.run(); });
      element.append(button);
    }
    element.append(close);
    close.addEventListener("click", () => notices.clear(key));
    shown.set(key, { text, element });
    box.append(element);
  },
  clear(...keys) {
    for (const key of keys) {
      shown.get(key)?.element.remove();
      shown.delete(key);
    }
  },
};

// Says something to screen readers, once per change.
export function announce(text) {
  if (announcement.textContent !== text) announcement.textContent = text;
}

export function setText(element, text) {
  if (element.textContent !== text) element.textContent = text;
}

// True where keys have a meaning of their own.
export function typing(target) {
  return target instanceof Element && target.closest("input:not([type=range]):not([type=radio]):not([type=checkbox]), select, textarea, dialog") !== null;
}

export function showKeys() {
  const dialog = document.getElementById("keys");
  if (!dialog.open) dialog.showModal();
}
