/** Questions that a person could ask the picked personas; they come from the personas' files. */

import type { Persona } from '../../service/service';
import { t } from '../../strings/strings';
import './ExampleQuestions.css';

const OF_ONE = 3;

interface Props {
  picked: readonly string[];
  personas: readonly Persona[];
  /** What they speak, where it is one language. */
  language: string | undefined;
}

export function ExampleQuestions({ picked, personas, language }: Props) {
  const each = picked.length === 1 ? OF_ONE : 1;
  const questions = personas
    .filter(({ name }) => picked.includes(name))
    .flatMap(({ examples }) => examples.slice(0, each));
  if (questions.length === 0) return null;
  return (
    <div className="examples">
      <p>{t.start.couldAsk}</p>
      <ul>
        {questions.map((question) => (
          <li key={question}>
            <q lang={language}>{question}</q>
          </li>
        ))}
      </ul>
    </div>
  );
}
