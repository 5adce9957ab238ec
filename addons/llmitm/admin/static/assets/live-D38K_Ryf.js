import{j as t}from"./react-B3RtMoXF.js";import{P as e,E as i}from"./index-CkDH5H-j.js";function s(){return t.jsx(e,{title:"Live",children:t.jsx(i,{title:"Nothing here yet"})})}export{s as default};
