/** The personas to choose from, as cards, and the person's own. */

import { t } from '../../strings/strings';
import './PersonaCards.css';
import { faceOf } from '../../figure/figureStyle';
import { type Config, languageOf } from '../../service/service';
import { type Choice, choice, mayDescribe, OWN } from '../choice/choice';
import { sampleOf } from '../voices/samples';
import { labelOf } from '../voices/voices';
import { ExampleQuestions } from './ExampleQuestions';
import { OwnPersona } from './OwnPersona';
import { PersonaCard } from './PersonaCard';

interface Props {
  chosen: Choice;
  picked: readonly string[];
  config: Config;
}

export function PersonaCards({ chosen, picked, config }: Props) {
  const most = config.limits.personas_per_room;
  const pick = (name: string, on: boolean) => {
    const others = picked.filter((each) => each !== name);
    choice.set({ touched: true, picked: on ? [...others, name] : others });
  };
  const voiceOf = (name: string, usual: string) => {
    const voice = chosen.voices[name] || usual;
    return config.voices.includes(voice) ? voice : '';
  };
  const card = (name: string, label: string, line: string, usual: string) => {
    const voice = voiceOf(name, usual);
    return (
      <PersonaCard
        key={name}
        name={name}
        label={label}
        line={line}
        voice={voice && labelOf(voice)}
        sample={sampleOf(config.model?.name, voice)}
        face={faceOf(name, config.personas)}
        picked={picked.includes(name)}
        disabled={!picked.includes(name) && picked.length >= most}
        onPick={(on) => pick(name, on)}
      />
    );
  };
  return (
    <fieldset className="choice">
      <legend>{t.start.who}</legend>
      <div className="cards">
        {config.personas.map(({ name, label, line, voice }) => card(name, label, line, voice))}
        {mayDescribe(config) && card(OWN, chosen.ownLabel || t.start.own, t.start.ownLine, '')}
      </div>
      {picked.includes(OWN) && <OwnPersona chosen={chosen} config={config} />}
      <ExampleQuestions picked={picked} personas={config.personas} language={languageOf(config)} />
      <p className="hint">{t.start.several}</p>
    </fieldset>
  );
}
